//! Which destinations an exit opens flows to.
//!
//! An exit connects on behalf of strangers from inside its own network, so it would hand them whatever
//! that network trusts. Only globally reachable unicast addresses are served (the IANA special-purpose
//! registries, RFC 6890), none of the host's own, and never what the operator lists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

use thiserror::Error;

/// What peers may reach through an exit.
#[derive(Clone, Debug, Default)]
pub struct DestinationPolicy {
    /// Serves private, loopback and the host's own addresses as well: for tests and demonstrations on
    /// one machine. What isn't a unicast address is refused all the same.
    pub local: bool,
    /// Refused always, in local mode too. To refuse a service that listens on all addresses of a host
    /// in local mode, name them all (`127.0.0.0/8` among them).
    pub never: Vec<NeverRule>,
}

impl DestinationPolicy {
    /// Whether a flow to `destination` may be opened.
    pub fn check(&self, destination: SocketAddr) -> Result<(), Refusal> {
        let ip = unmapped(destination.ip());
        if !is_destination(ip) || destination.port() == 0 {
            return Err(Refusal::NotADestination);
        }
        if self.never.iter().any(|rule| rule.covers(ip, destination.port())) {
            return Err(Refusal::Never);
        }
        if !self.local && !is_global(ip) {
            return Err(Refusal::NotGlobal);
        }
        if !self.local && is_own(ip) {
            return Err(Refusal::OwnAddress);
        }
        Ok(())
    }
}

/// Why a destination isn't served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No single host has this address and port: unspecified, multicast, broadcast, reserved, port 0.
    #[error("not the address of a host")]
    NotADestination,
    /// Private, loopback, link-local, documentation or otherwise not globally reachable.
    #[error("not a globally reachable address")]
    NotGlobal,
    /// The exit's own host.
    #[error("the exit's own address")]
    OwnAddress,
    /// On the operator's list.
    #[error("on the list of what is never served")]
    Never,
}

/// A network, and perhaps one port of it, that is never served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeverRule {
    /// Every address in here.
    pub network: Network,
    /// This port only; all of them when `None`.
    pub port: Option<u16>,
}

impl NeverRule {
    fn covers(&self, ip: IpAddr, port: u16) -> bool {
        self.network.contains(ip) && self.port.is_none_or(|only| only == port)
    }
}

impl From<SocketAddr> for NeverRule {
    /// One port of one address.
    fn from(service: SocketAddr) -> Self {
        Self { network: service.ip().into(), port: Some(service.port()) }
    }
}

impl From<Network> for NeverRule {
    /// All ports of a network.
    fn from(network: Network) -> Self {
        Self { network, port: None }
    }
}

/// Addresses that share a prefix (CIDR, RFC 4632); no bits are set behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// The text isn't an address, nor an address and a prefix length with nothing set behind the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a network is written as 192.0.2.0/24 or 192.0.2.1, without bits set behind the prefix")]
pub struct NetworkError;

impl Network {
    /// The network of all addresses that share the first `prefix` bits of `base`.
    pub fn new(base: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        let network = Self { base, prefix };
        let width = if base.is_ipv4() { 32 } else { 128 };
        if prefix > width || bits(base) & !network.mask() != 0 {
            return Err(NetworkError);
        }
        Ok(network)
    }

    /// Whether `ip` is in here. An IPv4-mapped IPv6 address counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = unmapped(ip);
        ip.is_ipv4() == self.base.is_ipv4() && bits(ip) & self.mask() == bits(self.base)
    }

    /// Whether all of `other` is in here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.base.is_ipv4() == other.base.is_ipv4()
            && self.prefix <= other.prefix
            && self.contains(other.base)
    }

    /// Ones where the prefix is, aligned as [`bits`] aligns addresses.
    fn mask(&self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let base = unmapped(address);
        Self { base, prefix: if base.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let address = |text: &str| text.parse::<IpAddr>().map_err(|_| NetworkError);
        match text.split_once('/') {
            Some((base, prefix)) => {
                Self::new(address(base)?, prefix.parse().map_err(|_| NetworkError)?)
            }
            None => Ok(address(text)?.into()),
        }
    }
}

/// An address as a number whose highest bit is the address's first.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn unmapped(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Whether a single host can have this address.
fn is_destination(ip: IpAddr) -> bool {
    match ip {
        // 0.0.0.0/8 is "this host" on many systems; from 224.0.0.0 on there are groups, then reserved
        // addresses, then broadcast.
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first != 0 && first < 224
        }
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
}

/// Whether an address is globally reachable (RFC 6890 and its registries).
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => is_global_v6(ip),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        [0 | 10 | 127 | 224..=255, ..]   // this network, private, loopback, groups and reserved
            | [100, 64..=127, ..]        // carrier-grade NAT, RFC 6598
            | [169, 254, ..]             // link-local, and clouds' metadata services
            | [172, 16..=31, ..]         // private
            | [192, 0, 0 | 2, _]         // protocol assignments, documentation
            | [192, 31, 196, _]          // AS112
            | [192, 52, 193, _]          // AMT
            | [192, 88, 99, _]           // 6to4 relays, deprecated
            | [192, 168, ..]             // private
            | [192, 175, 48, _]          // AS112
            | [198, 18 | 19, ..]         // benchmarks
            | [198, 51, 100, _]          // documentation
            | [203, 0, 113, _] // documentation
    )
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // 2001::/23 (protocol assignments, Teredo among them), documentation, 6to4
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // 2000::/3 is all of global unicast; NAT64's 64:ff9b::/96 lies outside, so do ::1, fc00::/7, fe80::/10.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Whether `ip` is one of this host's own: the system's choice of a source for packets to an address
/// of its own is that address. Nothing is sent.
fn is_own(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect((ip, 9)).and_then(|()| socket.local_addr()));
    // Where there is no route there will be no connection either.
    source.is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 443)
    }

    #[test]
    fn special_purpose_addresses_are_refused() {
        let policy = DestinationPolicy::default();
        for address in [
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "2001:db8::1",
            "2001::1",
            "2002:a00:1::1",
            "64:ff9b::a00:1",
            "100::1",
            "3fff::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(policy.check(to(address)), Err(Refusal::NotGlobal), "{address}");
        }
    }

    #[test]
    fn what_no_host_has_is_refused_in_local_mode_too() {
        for local in [false, true] {
            let policy = DestinationPolicy { local, never: vec![] };
            for address in [
                "0.0.0.0",
                "0.1.2.3",
                "224.0.0.1",
                "239.255.255.250",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "ff02::1",
                "::ffff:0.0.0.0",
            ] {
                assert_eq!(policy.check(to(address)), Err(Refusal::NotADestination), "{address}");
            }
            let port_zero = SocketAddr::new("9.9.9.9".parse().unwrap(), 0);
            assert_eq!(policy.check(port_zero), Err(Refusal::NotADestination));
        }
    }

    #[test]
    fn global_addresses_are_served() {
        let policy = DestinationPolicy::default();
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "192.169.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert_eq!(policy.check(to(address)), Ok(()), "{address}");
        }
    }

    #[test]
    fn local_mode_serves_the_host_itself() {
        let policy = DestinationPolicy { local: true, never: vec![] };
        for address in ["127.0.0.1", "127.0.0.77", "192.168.1.1", "10.0.0.1", "::1"] {
            assert_eq!(policy.check(to(address)), Ok(()), "{address}");
        }
    }

    #[test]
    fn the_never_list_holds_in_either_mode() {
        let never = vec![
            NeverRule::from("127.0.0.1:3001".parse::<SocketAddr>().unwrap()),
            NeverRule::from("9.9.0.0/16".parse::<Network>().unwrap()),
            NeverRule { network: "2606:4700::/32".parse().unwrap(), port: Some(443) },
        ];
        for local in [false, true] {
            let policy = DestinationPolicy { local, never: never.clone() };
            for refused in
                ["127.0.0.1:3001", "[::ffff:127.0.0.1]:3001", "9.9.9.9:53", "[2606:4700::1]:443"]
            {
                assert_eq!(
                    policy.check(refused.parse().unwrap()),
                    Err(Refusal::Never),
                    "{refused}"
                );
            }
            for served in ["9.10.0.1:53", "[2606:4700::1]:80"] {
                assert_eq!(policy.check(served.parse().unwrap()), Ok(()), "{served}");
            }
        }
        let policy = DestinationPolicy { local: true, never };
        assert_eq!(policy.check("127.0.0.1:3002".parse().unwrap()), Ok(()));
    }

    #[test]
    fn the_system_knows_its_own_addresses() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn networks_with_bits_behind_the_prefix_are_refused() {
        for text in ["10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "/8", "10.0.0", "::1/64"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
        let everything: Network = "0.0.0.0/0".parse().unwrap();
        assert!(everything.contains("203.0.113.9".parse().unwrap()));
        assert!(!everything.contains("::1".parse().unwrap()));
    }

    #[test]
    fn a_network_covers_what_lies_in_it_as_a_whole() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        for (outer, inner, expected) in [
            ("203.0.113.0/24", "203.0.113.0/24", true),
            ("203.0.113.0/24", "203.0.113.7", true),
            ("203.0.113.0/25", "203.0.113.0/24", false),
            ("203.0.113.0/25", "203.0.113.128", false),
            ("2001:db8::/48", "2001:db8:0:7::/64", true),
            ("2001:db8:0:7::/64", "2001:db8::/48", false),
            ("2001:db8::/48", "2001:db8:1::/64", false),
            ("0.0.0.0/0", "2001:db8::/64", false),
            ("::/0", "203.0.113.7", false),
            ("0.0.0.0/8", "::ffff:0:0/96", false),
        ] {
            assert_eq!(network(outer).covers(&network(inner)), expected, "{outer} {inner}");
        }
    }

    proptest! {
        #[test]
        fn a_network_holds_what_shares_its_prefix(ip in any::<u32>(), other in any::<u32>(), prefix in 0u8..=32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let network = Network::new(Ipv4Addr::from_bits(ip & mask).into(), prefix).unwrap();
            prop_assert!(network.contains(Ipv4Addr::from_bits(ip).into()));
            prop_assert_eq!(
                network.contains(Ipv4Addr::from_bits(other).into()),
                other & mask == ip & mask
            );
        }

        #[test]
        fn nothing_private_is_ever_global(ip in any::<u32>()) {
            let ip = Ipv4Addr::from_bits(ip);
            let special = ip.is_private() || ip.is_loopback() || ip.is_link_local()
                || ip.is_multicast() || ip.is_broadcast() || ip.is_documentation()
                || ip.is_unspecified();
            prop_assert!(!(special && is_global_v4(ip)));
        }
    }
}
