//! Blocks of addresses of either family and any size (CIDR, RFC 4632 and RFC 4291 section 2.3).

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use lease::ExitAddress;

/// All addresses that share a prefix. Written `192.0.2.0/24` or `2001:db8::/32`; an address alone is a block of one.
///
/// The order is IPv4 before IPv6, then by first address; of two that begin alike the larger one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    first: IpAddr,
    length: u8,
}

/// Why a text is no [`Cidr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidrError {
    /// Not an address, or an address and a prefix length.
    #[error("a block is written as 192.0.2.0/24, 2001:db8::/48 or 192.0.2.1")]
    Form,
    /// Something is set behind the prefix.
    #[error("a block has no bits set behind its prefix: the one that holds this address is {0}")]
    Bits(Cidr),
    /// An IPv4 address that is written as an IPv6 one.
    #[error("an IPv4 block is written as such, not as ::ffff:192.0.2.0/120")]
    Mapped,
}

impl Cidr {
    /// The block of all addresses that share the first `length` bits of `first`.
    ///
    /// # Errors
    /// [`CidrError`].
    pub fn new(first: IpAddr, length: u8) -> Result<Self, CidrError> {
        if length > width(first) {
            return Err(CidrError::Form);
        }
        if matches!(first, IpAddr::V6(first) if first.to_ipv4_mapped().is_some()) {
            return Err(CidrError::Mapped);
        }
        let holding = Self::holding(first, length);
        if holding.first == first { Ok(holding) } else { Err(CidrError::Bits(holding)) }
    }

    /// A block that is known to be one: for tables.
    pub(crate) const fn known(first: IpAddr, length: u8) -> Self {
        Self { first, length }
    }

    /// The block of this length that `address` lies in.
    pub(crate) fn holding(address: IpAddr, length: u8) -> Self {
        let behind = behind(width(address).saturating_sub(length));
        Self { first: with_bits(address, bits(address) & !behind), length }
    }

    /// The block's first address.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// The block's last address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        with_bits(self.first, bits(self.first) | behind(width(self.first) - self.length))
    }

    /// The prefix's length in bits.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether `address` is in the block. An IPv4-mapped IPv6 address counts as the IPv4 address.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.covers(address.to_canonical().into())
    }

    /// Whether all of `other` is in the block.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.first.is_ipv4() == other.first.is_ipv4()
            && self.length <= other.length
            && Self::holding(other.first, self.length) == self
    }

    /// Whether the two have an address in common: then one covers the other.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

/// How many bits an address of this family has.
pub(crate) const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address as a number.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with these bits, in the family of `like`.
fn with_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4((bits as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// As many ones, at the low end.
fn behind(count: u8) -> u128 {
    !u128::MAX.checked_shl(count.into()).unwrap_or(0)
}

/// A number that is written in the one form that numbers have here: no sign, no zeros before it.
pub(crate) fn number(text: &str) -> Option<u8> {
    text.parse::<u8>().ok().filter(|number| number.to_string() == text)
}

impl From<IpAddr> for Cidr {
    /// The block of this address alone; an IPv4-mapped IPv6 address counts as the IPv4 address.
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        Self { first, length: width(first) }
    }
}

impl From<ExitAddress> for Cidr {
    /// All that a lease gives.
    fn from(address: ExitAddress) -> Self {
        let first = address.ip();
        Self { first, length: address.prefix().unwrap_or(width(first)) }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| CidrError::Form)?;
        let length = match length {
            Some(length) => number(length).ok_or(CidrError::Form)?,
            None => width(first),
        };
        Self::new(first, length)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl Ord for Cidr {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.first, self.length).cmp(&(other.first, other.length))
    }
}

impl PartialOrd for Cidr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::cidr;

    #[test]
    fn texts_are_read_strictly() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/48", "2001:db8::1/128"] {
            assert_eq!(cidr(text).to_string(), text);
        }
        assert_eq!(cidr("192.0.2.1"), cidr("192.0.2.1/32"));
        assert_eq!(cidr("2001:DB8::1"), cidr("2001:db8::1/128"));
        for (text, error) in [
            ("", CidrError::Form),
            ("192.0.2.0/33", CidrError::Form),
            ("::/129", CidrError::Form),
            ("192.0.2.0/", CidrError::Form),
            ("192.0.2.0/+24", CidrError::Form),
            ("192.0.2.0/024", CidrError::Form),
            ("192.0.2.0/-1", CidrError::Form),
            ("192.0.2.0/24/24", CidrError::Form),
            (" 192.0.2.0", CidrError::Form),
            ("fe80::1%1", CidrError::Form),
            ("192.0.2.1/24", CidrError::Bits(cidr("192.0.2.0/24"))),
            ("2001:db8::1/64", CidrError::Bits(cidr("2001:db8::/64"))),
            ("::ffff:192.0.2.1", CidrError::Mapped),
            ("::ffff:0:0/96", CidrError::Mapped),
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(error), "{text}");
        }
    }

    #[test]
    fn larger_blocks_come_first_among_those_that_begin_alike() {
        let texts = ["10.0.0.0/8", "10.0.0.0/9", "11.0.0.0/8", "::/0", "::/1", "1::/16"];
        assert!(texts.map(cidr).is_sorted());
    }

    proptest! {
        #[test]
        fn a_block_holds_what_shares_its_prefix(one: u128, other: u128, length in 0u8..=128, four: bool) {
            let width = if four { 32 } else { 128 };
            let length = length.min(width);
            let address = |bits: u128| -> IpAddr {
                if four { (bits as u32).to_be_bytes().into() } else { bits.to_be_bytes().into() }
            };
            let (one, other) = (address(one), address(other));
            let block = Cidr::holding(one, length);
            prop_assert!(block.contains(one) && block.contains(block.last()));
            prop_assert_eq!(block.contains(other), Cidr::holding(other, length) == block);
            prop_assert_eq!(block.contains(other), block.first() <= other && other <= block.last());
            prop_assert_eq!(Cidr::new(block.first(), length), Ok(block));
            prop_assert_eq!(block.to_string().parse(), Ok(block));
        }
    }
}
