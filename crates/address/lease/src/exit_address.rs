//! What traffic leaves from: one address, or an IPv6 prefix of one's own.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ParseError;

/// The lengths that a leased prefix may have: from what a site gets to what a single network has (RFC 6177, RFC 4291 section 2.5.4).
pub const PREFIX_LENGTHS: RangeInclusive<u8> = 48..=64;
/// The length of a single IPv6 address, seen as a prefix.
const SINGLE: u8 = 128;

/// What a lease gives: an IPv4 address, an IPv6 address, or an IPv6 prefix of one's own.
///
/// As text and in JSON `203.0.113.7`, `2001:db8::1`, `2001:db8:1:2::/64`: in one form only, that of RFC 5952. No IPv4 address
/// comes as an IPv6 one (`::ffff:203.0.113.7`). The order is that of the [bytes](Self::bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExitAddress(Form);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    V4(Ipv4Addr),
    /// `length` is one of [`PREFIX_LENGTHS`], or [`SINGLE`]; nothing is set behind it.
    V6 {
        first: Ipv6Addr,
        length: u8,
    },
}

impl ExitAddress {
    /// The prefix of `length` bits that starts at `first`.
    ///
    /// # Errors
    /// [`ParseError::Prefix`] for a length that isn't one of [`PREFIX_LENGTHS`], or bits behind it; [`ParseError::Address`] where no
    /// host can have an address.
    pub fn from_prefix(first: Ipv6Addr, length: u8) -> Result<Self, ParseError> {
        if !PREFIX_LENGTHS.contains(&length) || first.to_bits() & !mask(length) != 0 {
            return Err(ParseError::Prefix);
        }
        Self::try_from(IpAddr::V6(first)).map(|_| Self(Form::V6 { first, length }))
    }

    /// The address, or the prefix's first.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        match self.0 {
            Form::V4(address) => IpAddr::V4(address),
            Form::V6 { first, .. } => IpAddr::V6(first),
        }
    }

    /// The prefix's length in bits; `None` for a single address.
    #[must_use]
    pub const fn prefix(self) -> Option<u8> {
        match self.0 {
            Form::V4(_) | Form::V6 { length: SINGLE, .. } => None,
            Form::V6 { length, .. } => Some(length),
        }
    }

    /// Whether `ip` is the address, or lies in the prefix. An IPv4-mapped IPv6 address counts as the IPv4 address.
    #[must_use]
    pub fn contains(self, ip: IpAddr) -> bool {
        match (self.0, ip.to_canonical()) {
            (Form::V4(address), IpAddr::V4(ip)) => address == ip,
            (Form::V6 { first, length }, IpAddr::V6(ip)) => {
                ip.to_bits() & mask(length) == first.to_bits()
            }
            _ => false,
        }
    }

    /// Whether both have an address in common: then one lies in the other.
    #[must_use]
    pub fn overlaps(self, other: &Self) -> bool {
        self.contains(other.ip()) || other.contains(self.ip())
    }

    /// What a gateway sends from that has one address for each lease: the address itself, or the prefix's `::1`.
    #[must_use]
    pub fn source(self) -> IpAddr {
        match self.0 {
            Form::V6 { first, length } if length != SINGLE => {
                IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() | 1))
            }
            _ => self.ip(),
        }
    }

    /// The form that stores keep: 4 or 16 bytes in network order; of a prefix its first address and its length, 17 bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self.0 {
            Form::V4(address) => address.octets().to_vec(),
            Form::V6 { first, length: SINGLE } => first.octets().to_vec(),
            Form::V6 { first, length } => [first.octets().as_slice(), &[length]].concat(),
        }
    }

    /// The address or prefix with these 4, 16 or 17 bytes.
    ///
    /// # Errors
    /// As [`from_prefix`](Self::from_prefix).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            return Self::try_from(IpAddr::from(four));
        }
        match bytes.split_first_chunk::<16>() {
            Some((first, [])) => Self::try_from(IpAddr::from(*first)),
            Some((first, [length])) => Self::from_prefix(Ipv6Addr::from(*first), *length),
            _ => Err(ParseError::Address),
        }
    }

    /// The bytes as numbers: those of the address, filled up with zeros, that of the length, and how many they are. Where two share all
    /// but zeros, the shorter one comes first.
    const fn order(&self) -> (u128, u8, u8) {
        match self.0 {
            Form::V4(address) => ((address.to_bits() as u128) << 96, 0, 4),
            Form::V6 { first, length: SINGLE } => (first.to_bits(), 0, 16),
            Form::V6 { first, length } => (first.to_bits(), length, 17),
        }
    }
}

const fn mask(length: u8) -> u128 {
    match u128::MAX.checked_shl(128 - length as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

impl TryFrom<IpAddr> for ExitAddress {
    type Error = ParseError;

    /// A single address.
    fn try_from(address: IpAddr) -> Result<Self, ParseError> {
        let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || broadcast {
            return Err(ParseError::Address);
        }
        match address {
            IpAddr::V4(address) => Ok(Self(Form::V4(address))),
            IpAddr::V6(first) if first.to_ipv4_mapped().is_some() => Err(ParseError::Mapped),
            IpAddr::V6(first) => Ok(Self(Form::V6 { first, length: SINGLE })),
        }
    }
}

impl FromStr for ExitAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let read = match text.split_once('/') {
            None => Self::try_from(text.parse::<IpAddr>().map_err(|_| ParseError::Address)?)?,
            Some((first, length)) => Self::from_prefix(
                first.parse().map_err(|_| ParseError::Prefix)?,
                length.parse().map_err(|_| ParseError::Prefix)?,
            )?,
        };
        if read.to_string() == text { Ok(read) } else { Err(ParseError::Canonical) }
    }
}

impl TryFrom<String> for ExitAddress {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<ExitAddress> for String {
    fn from(address: ExitAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ExitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix() {
            None => self.ip().fmt(f),
            Some(length) => write!(f, "{}/{length}", self.ip()),
        }
    }
}

impl fmt::Debug for ExitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExitAddress(..)")
    }
}

impl Ord for ExitAddress {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for ExitAddress {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exit(text: &str) -> ExitAddress {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_and_prefixes_have_one_text() {
        for text in ["203.0.113.7", "127.0.0.77", "2001:db8::1", "::1", "2001:db8:1:2::/64"] {
            assert_eq!(exit(text).to_string(), text);
        }
        for (text, error) in [
            ("", ParseError::Address),
            ("x", ParseError::Address),
            ("1.2.3", ParseError::Address),
            ("203.0.113.07", ParseError::Address),
            ("0.0.0.0", ParseError::Address),
            ("::", ParseError::Address),
            ("224.0.0.1", ParseError::Address),
            ("ff02::1", ParseError::Address),
            ("255.255.255.255", ParseError::Address),
            ("fe80::1%1", ParseError::Address),
            ("::/64", ParseError::Address),
            ("ff02::/64", ParseError::Address),
            ("::ffff:203.0.113.7", ParseError::Mapped),
            ("2001:DB8::1", ParseError::Canonical),
            ("2001:db8:0::1", ParseError::Canonical),
            ("2001:db8:1:2::/064", ParseError::Canonical),
            ("2001:db8:1:2::/+64", ParseError::Canonical),
            ("2001:db8:1:2:0::/64", ParseError::Canonical),
            ("2001:db8:1:2::1/64", ParseError::Prefix),
            ("2001:db8:1:2::/48", ParseError::Prefix),
            ("2001:db8::/47", ParseError::Prefix),
            ("2001:db8::/65", ParseError::Prefix),
            ("2001:db8::1/128", ParseError::Prefix),
            ("2001:db8::/", ParseError::Prefix),
            ("2001:db8::/64/64", ParseError::Prefix),
            ("203.0.113.0/24", ParseError::Prefix),
        ] {
            assert_eq!(text.parse::<ExitAddress>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_prefix_has_a_first_address_and_one_to_send_from() {
        let prefix = exit("2001:db8:1:2::/64");
        assert_eq!((prefix.ip(), prefix.prefix()), (ip("2001:db8:1:2::"), Some(64)));
        assert_eq!(prefix.source(), ip("2001:db8:1:2::1"));
        for single in ["203.0.113.7", "2001:db8::"] {
            assert_eq!((exit(single).ip(), exit(single).prefix()), (ip(single), None));
            assert_eq!(exit(single).source(), ip(single));
        }
    }

    #[test]
    fn a_prefix_holds_what_lies_in_it() {
        let prefix = exit("2001:db8:1:2::/64");
        assert!(prefix.contains(ip("2001:db8:1:2:ffff:ffff:ffff:ffff")));
        assert!(!prefix.contains(ip("2001:db8:1:3::")));
        assert!(!prefix.contains(ip("203.0.113.7")));
        assert!(exit("203.0.113.7").contains(ip("::ffff:203.0.113.7")));
        assert!(!exit("203.0.113.7").contains(ip("203.0.113.8")));
        let wide = exit("2001:db8:1::/48");
        for (one, other, expected) in [
            (wide, prefix, true),
            (prefix, exit("2001:db8:1:2::9"), true),
            (wide, exit("2001:db8:2::/48"), false),
            (exit("32.1.13.184"), exit("2001:db8::"), false),
            (exit("203.0.113.7"), exit("203.0.113.7"), true),
        ] {
            assert_eq!((one.overlaps(&other), other.overlaps(&one)), (expected, expected));
        }
    }

    #[test]
    fn other_bytes_are_none() {
        let prefix = exit("2001:db8:1:2::/64").bytes();
        assert_eq!(prefix, *b"\x20\x01\x0d\xb8\0\x01\0\x02\0\0\0\0\0\0\0\0\x40");
        let mut short = prefix.clone();
        short[16] = 47;
        assert_eq!(ExitAddress::from_bytes(&short), Err(ParseError::Prefix));
        assert_eq!(ExitAddress::from_bytes(&[1, 2, 3]), Err(ParseError::Address));
        assert_eq!(ExitAddress::from_bytes(&[1; 18]), Err(ParseError::Address));
        let mapped = ip("::ffff:203.0.113.7");
        let IpAddr::V6(mapped) = mapped else { unreachable!() };
        assert_eq!(ExitAddress::from_bytes(&mapped.octets()), Err(ParseError::Mapped));
        assert_eq!(format!("{:?}", exit("203.0.113.7")), "ExitAddress(..)");
    }

    /// Any address or prefix; those of a few networks often, so that some overlap.
    fn any_exit() -> impl Strategy<Value = ExitAddress> {
        let bits = prop_oneof![any::<u128>(), (0u128..4).prop_map(|low| 0x2001_0db8 << 96 | low)];
        let single = bits.clone().prop_map(|bits| IpAddr::from(bits.to_be_bytes()));
        let four = prop_oneof![any::<u32>(), Just(0x2001_0db8)]
            .prop_map(|bits| IpAddr::from(bits.to_be_bytes()));
        let single = prop_oneof![single, four].prop_map(ExitAddress::try_from);
        let prefix = (bits, PREFIX_LENGTHS).prop_map(|(bits, length)| {
            ExitAddress::from_prefix(Ipv6Addr::from_bits(bits & mask(length)), length)
        });
        prop_oneof![single, prefix].prop_filter_map("no host's", Result::ok)
    }

    proptest! {
        #[test]
        fn text_json_and_bytes_are_read_as_they_are_written(address in any_exit()) {
            let text = address.to_string();
            prop_assert_eq!(text.parse(), Ok(address));
            let json = serde_json::to_string(&address).unwrap();
            prop_assert_eq!(&json, &format!("\"{text}\""));
            prop_assert_eq!(serde_json::from_str::<ExitAddress>(&json).unwrap(), address);
            let bytes = address.bytes();
            prop_assert_eq!(bytes.len(), if address.prefix().is_some() { 17 } else if address.ip().is_ipv4() { 4 } else { 16 });
            prop_assert_eq!(ExitAddress::from_bytes(&bytes), Ok(address));
        }

        #[test]
        fn the_order_is_that_of_the_bytes(one in any_exit(), other in any_exit()) {
            prop_assert_eq!(one.cmp(&other), one.bytes().cmp(&other.bytes()));
            prop_assert_eq!(one == other, one.bytes() == other.bytes());
        }

        #[test]
        fn what_is_sent_from_lies_in_it(one in any_exit(), other in any_exit()) {
            prop_assert!(one.contains(one.ip()) && one.contains(one.source()));
            prop_assert!(one.overlaps(&one));
            if one.contains(other.source()) {
                prop_assert!(one.overlaps(&other));
            }
        }

        #[test]
        fn no_text_is_read_in_two_forms(text in "[0-9a-fA-F:./+]{0,24}") {
            if let Ok(address) = text.parse::<ExitAddress>() {
                prop_assert_eq!(address.to_string(), text);
            }
        }
    }
}
