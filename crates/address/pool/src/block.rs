//! Blocks of addresses as an operator imports them (CIDR, RFC 4632).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use lease::{ExitAddress, PREFIX_LENGTHS};

use crate::cidr::{Cidr, CidrError, bits, number, width};
use crate::exclusions::Exclusions;
use crate::special::Special;

/// The most that a block is split into, in bits: 65,536 addresses or prefixes. A larger one is imported in parts.
const MOST_BITS: u8 = 16;
/// How long the prefixes are that an IPv6 block is split into when nothing else is said: a single network's (RFC 4291 section 2.5.4).
const USUAL_PREFIX: u8 = 64;

/// A block that is leased in parts, at most 65,536 of them.
///
/// | text | parts |
/// |---|---|
/// | `192.0.2.0/24` | IPv4 addresses, /16 or longer |
/// | `2001:db8::100/120` | IPv6 addresses, /112 or longer |
/// | `2001:db8::/48` | a *carving*: IPv6 prefixes of 64 bits |
/// | `2001:db8::/44/56` | a carving into prefixes of another length, 48 to 63 bits |
///
/// So `2001:db8:1:2::/64` is one leased prefix, and `2001:db8:1::/56` is 256 of them; one leased prefix of 56 bits is
/// `2001:db8:1::/56/56`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    range: Cidr,
    /// The length of each part: an address's width, or one of [`PREFIX_LENGTHS`].
    part: u8,
}

/// Why a text is no [`Block`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Not a block at all.
    #[error(transparent)]
    Form(#[from] CidrError),
    /// More than 65,536 parts.
    #[error(
        "{0} has more than 65,536 addresses or prefixes: import it in parts, or carve it into larger prefixes (as in 2001:db8::/44/56)"
    )]
    TooLarge(Cidr),
    /// An IPv6 block whose size is that of neither.
    #[error(
        "{0} is too large for single addresses (/112 to /128) and too small for prefixes (/64 or shorter)"
    )]
    Between(Cidr),
    /// A length of parts that there is not.
    #[error(
        "{0} can't be split into parts of this length: prefixes have 48 to 64 bits, and are no larger than their block"
    )]
    Part(Cidr),
    /// A part of it can't be leased.
    #[error("{0} has addresses that no lease can have: {1}")]
    Special(Cidr, &'static Special),
}

impl Block {
    /// `range` split as usual: an IPv6 block of 64 bits or fewer into prefixes of 64 bits, everything else into addresses.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn new(range: Cidr) -> Result<Self, BlockError> {
        Self::split(range, usual(range))
    }

    /// The IPv6 block `range` split into prefixes of `length` bits.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn carved(range: Cidr, length: u8) -> Result<Self, BlockError> {
        if range.first().is_ipv4() || !PREFIX_LENGTHS.contains(&length) || length < range.length() {
            return Err(BlockError::Part(range));
        }
        Self::split(range, length)
    }

    fn split(range: Cidr, part: u8) -> Result<Self, BlockError> {
        let behind = part.saturating_sub(range.length());
        if part == 128 && (USUAL_PREFIX + 1..128 - MOST_BITS).contains(&range.length()) {
            return Err(BlockError::Between(range));
        }
        if behind > MOST_BITS {
            return Err(BlockError::TooLarge(range));
        }
        match Special::forbidding(range) {
            Some(special) => Err(BlockError::Special(range, special)),
            None => Ok(Self { range, part }),
        }
    }

    /// The whole block.
    #[must_use]
    pub const fn range(self) -> Cidr {
        self.range
    }

    /// How many leases the block has, nothing excluded.
    #[must_use]
    pub fn count(self) -> u32 {
        let (first, end) = self.numbers();
        end - first
    }

    /// Everything that can be leased of the block, in order.
    ///
    /// Of four or more IPv4 addresses the first names the network and the last is for broadcasts (RFC 919, RFC 950); of four or more
    /// IPv6 addresses the first is any router's (RFC 4291 section 2.6.1). Smaller blocks have neither (RFC 3021, RFC 6164), nor do prefixes,
    /// each of which is a network by itself.
    pub fn addresses(self) -> impl Iterator<Item = ExitAddress> {
        let (first, end) = self.numbers();
        // None is passed over: `split` lets no block through that has an address which no lease can have.
        (first..end).filter_map(move |number| self.part(number).ok())
    }

    /// What is left of the block without what is excluded, in order.
    #[must_use]
    pub fn without(self, excluded: &Exclusions) -> Vec<ExitAddress> {
        self.addresses().filter(|address| !excluded.exclude(*address)).collect()
    }

    /// The first part that is leased, and the one after the last.
    fn numbers(self) -> (u32, u32) {
        let behind = self.part - self.range.length();
        let all = 1u32 << behind;
        match self.range.first() {
            _ if behind < 2 => (0, all),
            IpAddr::V4(_) => (1, all - 1),
            IpAddr::V6(_) if self.part == 128 => (1, all),
            IpAddr::V6(_) => (0, all),
        }
    }

    fn part(self, number: u32) -> Result<ExitAddress, lease::ParseError> {
        let first = self.range.first();
        let bits = bits(first) | u128::from(number) << (width(first) - self.part);
        match first {
            IpAddr::V4(_) => IpAddr::V4((bits as u32).into()).try_into(),
            IpAddr::V6(_) if self.part == 128 => IpAddr::V6(bits.into()).try_into(),
            IpAddr::V6(_) => ExitAddress::from_prefix(Ipv6Addr::from_bits(bits), self.part),
        }
    }
}

/// The length of the parts that a block is split into when nothing else is said.
const fn usual(range: Cidr) -> u8 {
    match range.first() {
        IpAddr::V6(_) if range.length() <= USUAL_PREFIX => USUAL_PREFIX,
        first => width(first),
    }
}

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        match text.match_indices('/').nth(1) {
            None => Self::new(text.parse()?),
            Some((at, _)) => {
                let (range, part) = text.split_at(at);
                let range = range.parse()?;
                let part = part.strip_prefix('/').and_then(number);
                Self::carved(range, part.ok_or(BlockError::Part(range))?)
            }
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range.fmt(f)?;
        if self.part == usual(self.range) { Ok(()) } else { write!(f, "/{}", self.part) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{block, cidr, texts};

    fn imported(text: &str, excluded: &[&str]) -> Vec<String> {
        let excluded = Exclusions::new(excluded.iter().map(|text| cidr(text)));
        texts(block(text).without(&excluded))
    }

    #[test]
    fn network_and_broadcast_addresses_are_left_out_of_blocks_that_have_them() {
        assert_eq!(imported("192.0.2.8/30", &[]), ["192.0.2.9", "192.0.2.10"]);
        assert_eq!(imported("192.0.2.8/31", &[]), ["192.0.2.8", "192.0.2.9"]);
        assert_eq!(imported("192.0.2.8/32", &[]), ["192.0.2.8"]);
        assert_eq!(imported("192.0.2.8", &[]), ["192.0.2.8"]);
        assert_eq!(imported("127.7.0.0/16", &[]).len(), 65_534);
    }

    #[test]
    fn any_routers_address_is_left_out_of_ipv6_blocks_that_have_it() {
        assert_eq!(imported("2001:db8::8/126", &[]), ["2001:db8::9", "2001:db8::a", "2001:db8::b"]);
        assert_eq!(imported("2001:db8::8/127", &[]), ["2001:db8::8", "2001:db8::9"]);
        assert_eq!(imported("2001:db8::8", &[]), ["2001:db8::8"]);
        assert_eq!(imported("2001:db8::1:0/112", &[]).len(), 65_535);
    }

    #[test]
    fn shorter_ipv6_blocks_are_carved_into_prefixes() {
        assert_eq!(imported("2001:db8:1:2::/64", &[]), ["2001:db8:1:2::/64"]);
        assert_eq!(
            imported("2001:db8:1:4::/62", &[]),
            ["2001:db8:1:4::/64", "2001:db8:1:5::/64", "2001:db8:1:6::/64", "2001:db8:1:7::/64"]
        );
        assert_eq!(imported("2001:db8:1::/48", &[]).len(), 65_536);
        assert_eq!(imported("2001:db8:1::/55/56", &[]), ["2001:db8:1::/56", "2001:db8:1:100::/56"]);
        assert_eq!(imported("2001:db8:1::/56/56", &[]), ["2001:db8:1::/56"]);
        assert_eq!(imported("2001:db8::/32/48", &[]).len(), 65_536);
    }

    #[test]
    fn exclusions_are_addresses_blocks_or_prefixes() {
        assert_eq!(
            imported("192.0.2.8/29", &["192.0.2.9", "192.0.2.12/30"]),
            ["192.0.2.10", "192.0.2.11"]
        );
        assert!(imported("192.0.2.8/29", &["192.0.0.0/16"]).is_empty());
        assert_eq!(
            imported("2001:db8:1:4::/62", &["2001:db8:1:5::53", "2001:db8:1:6::/63"]),
            ["2001:db8:1:4::/64"]
        );
    }

    #[test]
    fn other_texts_are_no_blocks() {
        for text in ["", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+24", "/24", "::/129"] {
            assert_eq!(text.parse::<Block>(), Err(CidrError::Form.into()), "{text}");
        }
        for (text, error) in [
            ("192.0.2.1/24", BlockError::Form(CidrError::Bits(cidr("192.0.2.0/24")))),
            ("2001:db8::1/64", BlockError::Form(CidrError::Bits(cidr("2001:db8::/64")))),
            ("::ffff:192.0.2.0/120", BlockError::Form(CidrError::Mapped)),
            ("10.0.0.0/15", BlockError::TooLarge(cidr("10.0.0.0/15"))),
            ("2001:db8::/47", BlockError::TooLarge(cidr("2001:db8::/47"))),
            ("2001:db8::/39/56", BlockError::TooLarge(cidr("2001:db8::/39"))),
            ("2001:db8::/65", BlockError::Between(cidr("2001:db8::/65"))),
            ("2001:db8::/111", BlockError::Between(cidr("2001:db8::/111"))),
            ("2001:db8::/48/47", BlockError::Part(cidr("2001:db8::/48"))),
            ("2001:db8::/56/48", BlockError::Part(cidr("2001:db8::/56"))),
            ("2001:db8::/48/65", BlockError::Part(cidr("2001:db8::/48"))),
            ("2001:db8::/48/", BlockError::Part(cidr("2001:db8::/48"))),
            ("2001:db8::/48/056", BlockError::Part(cidr("2001:db8::/48"))),
            ("2001:db8::/48/56/56", BlockError::Part(cidr("2001:db8::/48"))),
            ("192.0.2.0/24/24", BlockError::Part(cidr("192.0.2.0/24"))),
        ] {
            assert_eq!(text.parse::<Block>(), Err(error), "{text}");
        }
        for text in ["224.0.1.0/30", "0.0.0.0/16", "169.254.0.0/24", "fe80::/64", "::", "::/64"] {
            let error = text.parse::<Block>().unwrap_err();
            assert!(matches!(error, BlockError::Special(..)), "{text}: {error}");
        }
    }

    /// Any block that is one, of either family and any way of splitting.
    fn any_block() -> impl Strategy<Value = Block> {
        let four = (any::<u32>(), 20u8..=32)
            .prop_map(|(bits, length)| Block::new(Cidr::holding(IpAddr::V4(bits.into()), length)));
        let six = (any::<u128>(), 116u8..=128)
            .prop_map(|(bits, length)| Block::new(Cidr::holding(IpAddr::V6(bits.into()), length)));
        let carved = (any::<u128>(), 48u8..=64, 0u8..=12).prop_map(|(bits, part, behind)| {
            let range = Cidr::holding(IpAddr::V6(bits.into()), part - behind);
            Block::carved(range, part)
        });
        prop_oneof![four, six, carved].prop_filter_map("not to be leased", Result::ok)
    }

    proptest! {
        #[test]
        fn a_block_has_the_leases_that_it_says(block in any_block()) {
            let all: Vec<_> = block.addresses().collect();
            prop_assert_eq!(all.len(), block.count() as usize);
            prop_assert!(all.is_sorted_by(|one, other| one < other && !one.overlaps(other)));
            prop_assert!(all.iter().all(|address| block.range().covers((*address).into())));
            prop_assert_eq!(block.to_string().parse(), Ok(block));
        }

        /// What is excluded and what is left are the whole, and have nothing in common.
        #[test]
        fn exclusions_part_a_block_in_two(block in any_block(), picks in proptest::collection::vec((any::<u32>(), 0u8..6), 0..6)) {
            let all: Vec<_> = block.addresses().collect();
            let excluded: Vec<Cidr> = picks
                .iter()
                .filter_map(|(at, wider)| {
                    let one = Cidr::from(*all.get(*at as usize % all.len().max(1))?);
                    Some(Cidr::holding(one.first(), one.length() - wider))
                })
                .collect();
            let exclusions = Exclusions::new(excluded.iter().copied());
            let left = block.without(&exclusions);
            for address in all {
                let out = excluded.iter().any(|block| block.overlaps(address.into()));
                prop_assert_eq!(left.binary_search(&address).is_err(), out);
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:./]{0,24}") {
            let _ = text.parse::<Block>();
        }
    }
}
