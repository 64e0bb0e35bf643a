//! Runs of addresses, from a first one to a last one: what sets of blocks are reckoned in.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::cidr::{Cidr, bits};

/// Addresses of one family, from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    v6: bool,
    first: u128,
    last: u128,
}

impl<T: Into<Cidr>> From<T> for Span {
    fn from(block: T) -> Self {
        let block = block.into();
        Self { v6: block.first().is_ipv6(), first: bits(block.first()), last: bits(block.last()) }
    }
}

impl Span {
    /// Sorts spans so that whatever lies in another comes after it.
    pub(crate) const fn order(&self) -> (bool, u128, Reverse<u128>) {
        (self.v6, self.first, Reverse(self.last))
    }

    /// Whether the two have an address in common.
    pub(crate) const fn overlaps(&self, other: &Self) -> bool {
        self.v6 == other.v6 && self.first <= other.last && other.first <= self.last
    }

    /// Whether the span ends before the other begins, in their order.
    pub(crate) fn ends_before(&self, other: &Self) -> bool {
        (self.v6, self.last) < (other.v6, other.first)
    }

    /// Joins what overlaps or lies side by side: the fewest spans that hold the same addresses, in order.
    pub(crate) fn merged(mut spans: Vec<Self>) -> Vec<Self> {
        spans.sort_unstable_by_key(Self::order);
        let mut merged: Vec<Self> = Vec::new();
        for span in spans {
            match merged.last_mut() {
                Some(former)
                    if former.v6 == span.v6 && span.first.saturating_sub(1) <= former.last =>
                {
                    former.last = former.last.max(span.last);
                }
                _ => merged.push(span),
            }
        }
        merged
    }

    /// The fewest blocks that hold the same addresses, in order: always the largest one that begins where the former ended.
    pub(crate) fn blocks(self) -> impl Iterator<Item = Cidr> {
        let width = if self.v6 { 128 } else { 32 };
        let mut left = Some(self.first);
        std::iter::from_fn(move || {
            let first = left.filter(|first| *first <= self.last)?;
            // As many bits as `first` has zeros at its end, and as there is room for.
            let room = match (self.last - first).checked_add(1) {
                Some(count) => count.ilog2(),
                None => width,
            };
            let size = first.trailing_zeros().min(room).min(width);
            left = 1u128.checked_shl(size).and_then(|count| first.checked_add(count));
            let address = if self.v6 {
                IpAddr::from(first.to_be_bytes())
            } else {
                IpAddr::from((first as u32).to_be_bytes())
            };
            Some(Cidr::known(address, (width - size) as u8))
        })
    }
}
