//! Ranges of special purpose (RFC 6890, and the registries of IANA that it founded, as of 2026).
//!
//! From some of them no lease can be: whoever had such an address could send nothing, or would get what is others'. The others are
//! merely not reached from the Internet, or belong to a service: leases there are for tests and demonstrations, and worth a warning.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lease::ExitAddress;

use crate::cidr::Cidr;
use crate::span::Span;

/// A range of special purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    range: Cidr,
    purpose: &'static str,
    leasable: bool,
}

impl Special {
    /// The range.
    #[must_use]
    pub const fn range(&self) -> Cidr {
        self.range
    }

    /// What it is for, and which document says so.
    #[must_use]
    pub const fn purpose(&self) -> &'static str {
        self.purpose
    }

    /// A range that `block` reaches into, and that no lease can be from.
    pub(crate) fn forbidding(block: Cidr) -> Option<&'static Self> {
        SPECIAL.iter().find(|special| !special.leasable && special.range.overlaps(block))
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.range, self.purpose)
    }
}

/// Addresses of a list that the Internet doesn't reach, or that belong to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The range that they are in.
    pub special: &'static Special,
    /// The lowest of them.
    pub first: ExitAddress,
    /// How many there are.
    pub count: usize,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { special, first, count } = self;
        write!(f, "{count} of these addresses, from {first} on, are in {special}")
    }
}

/// What an operator should know before these addresses are leased to people: one warning for each range of special purpose that has
/// some of them.
#[must_use]
pub fn warnings(addresses: &[ExitAddress]) -> Vec<Warning> {
    let specials: Vec<(&Special, Span)> =
        SPECIAL.iter().map(|special| (special, Span::from(special.range))).collect();
    let mut found: Vec<Option<Warning>> = vec![None; specials.len()];
    for &address in addresses {
        let span = Span::from(address);
        let holding = specials.iter().zip(&mut found).find(|((_, range), _)| range.overlaps(&span));
        if let Some(((special, _), warning)) = holding {
            let warning = warning.get_or_insert(Warning { special, first: address, count: 0 });
            warning.first = warning.first.min(address);
            warning.count += 1;
        }
    }
    found.into_iter().flatten().collect()
}

const fn v4(a: u8, b: u8, c: u8, length: u8, purpose: &'static str) -> Special {
    let range = Cidr::known(IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), length);
    Special { range, purpose, leasable: true }
}

const fn v6(groups: [u16; 4], length: u8, purpose: &'static str) -> Special {
    let [a, b, c, d] = groups;
    let range = Cidr::known(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)), length);
    Special { range, purpose, leasable: true }
}

/// One address, or few, at the low end of all.
const fn low(end: [u16; 3], length: u8, purpose: &'static str) -> Special {
    let [f, g, h] = end;
    let range = Cidr::known(IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, f, g, h)), length);
    Special { range, purpose, leasable: true }
}

impl Special {
    const fn never(self) -> Self {
        Self { leasable: false, ..self }
    }
}

/// Those that lie in others come before them.
static SPECIAL: &[Special] = &[
    v4(0, 0, 0, 8, "this network, RFC 791").never(),
    v4(10, 0, 0, 8, "private use, RFC 1918"),
    v4(100, 64, 0, 10, "shared by carriers, RFC 6598"),
    v4(127, 0, 0, 8, "loopback, RFC 1122"),
    v4(169, 254, 0, 16, "link-local, RFC 3927").never(),
    v4(172, 16, 0, 12, "private use, RFC 1918"),
    v4(192, 0, 0, 24, "protocol assignments, RFC 6890"),
    v4(192, 0, 2, 24, "documentation, RFC 5737"),
    v4(192, 31, 196, 24, "AS112 service, RFC 7535"),
    v4(192, 52, 193, 24, "AMT, RFC 7450"),
    v4(192, 88, 99, 24, "6to4 relays, RFC 7526"),
    v4(192, 168, 0, 16, "private use, RFC 1918"),
    v4(192, 175, 48, 24, "AS112 service, RFC 7534"),
    v4(198, 18, 0, 15, "benchmarks, RFC 2544"),
    v4(198, 51, 100, 24, "documentation, RFC 5737"),
    v4(203, 0, 113, 24, "documentation, RFC 5737"),
    v4(224, 0, 0, 4, "multicast, RFC 5771").never(),
    v4(240, 0, 0, 4, "reserved, RFC 1112").never(),
    low([0, 0, 0], 128, "unspecified, RFC 4291").never(),
    low([0, 0, 1], 128, "loopback, RFC 4291"),
    low([0xffff, 0, 0], 96, "IPv4 addresses, RFC 4291").never(),
    v6([0x64, 0xff9b, 0, 0], 96, "IPv4 addresses behind a translator, RFC 6052"),
    v6([0x64, 0xff9b, 1, 0], 48, "IPv4 addresses behind a translator, RFC 8215"),
    v6([0x100, 0, 0, 0], 64, "discarded, RFC 6666"),
    v6([0x100, 0, 0, 1], 64, "dummy, RFC 9780"),
    v6([0x2001, 0xdb8, 0, 0], 32, "documentation, RFC 3849"),
    v6([0x2001, 0, 0, 0], 23, "protocol assignments, RFC 2928"),
    v6([0x2002, 0, 0, 0], 16, "6to4, RFC 3056"),
    v6([0x2620, 0x4f, 0x8000, 0], 48, "AS112 service, RFC 7534"),
    v6([0x3fff, 0, 0, 0], 20, "documentation, RFC 9637"),
    v6([0x5f00, 0, 0, 0], 16, "segment routing, RFC 9602"),
    v6([0xfc00, 0, 0, 0], 7, "private use, RFC 4193"),
    v6([0xfe80, 0, 0, 0], 10, "link-local, RFC 4291").never(),
    v6([0xff00, 0, 0, 0], 8, "multicast, RFC 4291").never(),
    // Global unicast addresses are in 2000::/3 so far.
    v6([0, 0, 0, 0], 3, "not assigned, RFC 4291"),
    v6([0x4000, 0, 0, 0], 2, "not assigned, RFC 4291"),
    v6([0x8000, 0, 0, 0], 1, "not assigned, RFC 4291"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cidr, exit, texts};

    #[test]
    fn the_table_is_well_formed() {
        for (number, special) in SPECIAL.iter().enumerate() {
            // ::ffff:0:0/96 is the one block that can't be written.
            if special.purpose != "IPv4 addresses, RFC 4291" {
                assert_eq!(cidr(&special.range.to_string()), special.range, "{special}");
            }
            let hidden = SPECIAL[..number].iter().find(|other| other.range.covers(special.range));
            assert_eq!(hidden, None, "{special} is never found");
        }
    }

    #[test]
    fn nobody_leases_what_is_no_ones() {
        for forbidden in [
            "0.0.0.0/8",
            "0.0.0.0/0",
            "169.254.169.254",
            "224.0.1.0/30",
            "255.255.255.255",
            "::",
            "fe80::/64",
            "ff02::1",
            "::/0",
        ] {
            assert!(Special::forbidding(cidr(forbidden)).is_some(), "{forbidden}");
        }
        for possible in ["127.0.0.0/8", "203.0.113.0/24", "10.0.0.0/8", "2001:db8::/32", "::1"] {
            assert_eq!(Special::forbidding(cidr(possible)), None, "{possible}");
        }
    }

    #[test]
    fn warnings_count_by_range() {
        let addresses = [
            "203.0.113.9",
            "9.9.9.9",
            "203.0.113.7",
            "10.1.2.3",
            "2001:db8:1:2::/64",
            "2a00:1450::1",
            "4000::1",
            "fd00::1",
        ];
        let addresses = addresses.map(exit);
        assert_eq!(
            texts(warnings(&addresses)),
            [
                "1 of these addresses, from 10.1.2.3 on, are in 10.0.0.0/8 (private use, RFC 1918)",
                "2 of these addresses, from 203.0.113.7 on, are in 203.0.113.0/24 (documentation, RFC 5737)",
                "1 of these addresses, from 2001:db8:1:2::/64 on, are in 2001:db8::/32 (documentation, RFC 3849)",
                "1 of these addresses, from fd00::1 on, are in fc00::/7 (private use, RFC 4193)",
                "1 of these addresses, from 4000::1 on, are in 4000::/2 (not assigned, RFC 4291)",
            ]
        );
        assert!(warnings(&["9.9.9.9", "2a00:1450::1"].map(exit)).is_empty());
    }
}
