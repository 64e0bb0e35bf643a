//! Zone files (RFC 1035 section 5) that name the addresses of a pool: reverse zones (RFC 1035 section 3.5, RFC 3596 section 2.5) and the
//! forward zone that matches.
//!
//! A reverse zone holds one /24 of IPv4 addresses, or one /48 or /64 of IPv6 addresses. Whatever lies in a leased prefix has one name, by
//! a wildcard (RFC 4592); the forward zone has the prefix's `::1` under that name, so that this one address is confirmed both ways. All names are
//! absolute and end in a dot, and records come in the order of addresses.
//!
//! Give the whole pool, whatever is leased at present.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use lease::{ExitAddress, Region};

use crate::cidr::Cidr;
use crate::host_name::{HostName, HostNameError, HostPattern};

/// The longest time that a record can be kept for (RFC 2181 section 8).
const LONGEST: u32 = i32::MAX as u32;

/// What a zone says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Which version of the zone this is: larger each time that something changes (RFC 1982), such as `2026112101`.
    pub serial: u32,
    /// The server that the zone comes from.
    pub primary: HostName,
    /// Whom to write to, the first dot standing for the `@`: `hostmaster.dip.example`.
    pub mailbox: HostName,
    /// All the zone's servers, the primary too if it serves the public.
    pub name_servers: Vec<NameServer>,
    /// For how many seconds a record may be kept.
    pub ttl: u32,
    /// When the other servers come for it.
    pub timers: Timers,
}

/// A server of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Its name.
    pub name: HostName,
    /// Its addresses: needed where the name lies in the zone itself, and passed over elsewhere.
    pub addresses: Vec<IpAddr>,
}

/// When servers look for a new version of a zone, in seconds (RFC 1035 section 3.3.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// How often.
    pub refresh: u32,
    /// How soon again after a failure.
    pub retry: u32,
    /// After how long without success the zone isn't served any more.
    pub expire: u32,
    /// How long it is remembered that there is no such name (RFC 2308).
    pub negative: u32,
}

impl Default for Timers {
    /// What RIPE-203 recommends for small, stable zones, but for an hour of remembering that a name isn't there.
    fn default() -> Self {
        Self { refresh: 86_400, retry: 7_200, expire: 3_600_000, negative: 3_600 }
    }
}

/// How much one reverse zone of IPv6 addresses holds: what the provider was delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6Cut {
    /// A zone for each /48: every prefix that can be leased fits.
    Slash48,
    /// A zone for each /64: shorter prefixes don't fit.
    Slash64,
}

impl Ipv6Cut {
    const fn length(self) -> u8 {
        match self {
            Self::Slash48 => 48,
            Self::Slash64 => 64,
        }
    }
}

/// A zone file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The zone's name, without the dot at its end: `113.0.203.in-addr.arpa`.
    pub origin: String,
    /// The file.
    pub text: String,
}

/// Why there are no zones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// Nobody serves the zone.
    #[error("a zone has a name server at least, and should have two")]
    NoServer,
    /// A server of the zone has a name in it and no addresses.
    #[error("the name server {0} lies in the zone itself: say its addresses")]
    Glue(HostName),
    /// A time that is too long.
    #[error("times of a zone are 2,147,483,647 seconds at most")]
    Time,
    /// A leased prefix is larger than a zone.
    #[error("{0} doesn't fit in a zone of 64 bits: cut zones at 48 bits")]
    Prefix(ExitAddress),
    /// The pattern makes no name of this region.
    #[error("the region {0} makes no host's name")]
    Name(Region, #[source] HostNameError),
}

/// The reverse zones of these addresses, IPv4 first, in order.
///
/// # Errors
/// [`ZoneError`].
pub fn reverse_zones(
    hosts: &BTreeMap<ExitAddress, Region>,
    pattern: &HostPattern,
    authority: &Authority,
    cut: Ipv6Cut,
) -> Result<Vec<Zone>, ZoneError> {
    let mut zones: BTreeMap<Cidr, String> = BTreeMap::new();
    for (&address, region) in hosts {
        let name = named(pattern, address, region)?;
        let length = match address.ip() {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => cut.length(),
        };
        if address.prefix().is_some_and(|prefix| prefix < length) {
            return Err(ZoneError::Prefix(address));
        }
        let records = zones.entry(Cidr::holding(address.ip(), length)).or_default();
        for owner in owners(address) {
            record(records, &owner, "PTR", format_args!("{name}."));
        }
    }
    zones
        .into_iter()
        .map(|(block, records)| zone(reverse_name(block), &records, authority))
        .collect()
}

/// The zone of the pattern's domain that has these addresses under the names that [`reverse_zones`] gives them.
///
/// # Errors
/// [`ZoneError`].
pub fn forward_zone(
    hosts: &BTreeMap<ExitAddress, Region>,
    pattern: &HostPattern,
    authority: &Authority,
) -> Result<Zone, ZoneError> {
    let mut records = String::new();
    for server in &authority.name_servers {
        if server.name.is_within(pattern.domain()) {
            if server.addresses.is_empty() {
                return Err(ZoneError::Glue(server.name.clone()));
            }
            server.addresses.iter().for_each(|ip| located(&mut records, &server.name, *ip));
        }
    }
    for (&address, region) in hosts {
        let name = named(pattern, address, region)?;
        located(&mut records, &name, address.source());
    }
    zone(pattern.domain().to_string(), &records, authority)
}

fn named(
    pattern: &HostPattern,
    address: ExitAddress,
    region: &Region,
) -> Result<HostName, ZoneError> {
    pattern.name(address, region).map_err(|error| ZoneError::Name(region.clone(), error))
}

/// The names whose records say what an address is called: one, or several where a prefix ends inside a digit.
fn owners(address: ExitAddress) -> Vec<String> {
    let Some(length) = address.prefix() else { return vec![reverse_name(address.into())] };
    let digits = length.div_ceil(4) * 4;
    let IpAddr::V6(first) = address.ip() else { return vec![] };
    (0..1u128 << (digits - length))
        .map(|number| Ipv6Addr::from_bits(first.to_bits() | number << (128 - digits)))
        .map(|first| format!("*.{}", reverse_name(Cidr::holding(first.into(), digits))))
        .collect()
}

/// A block's name in the tree of reverse zones; its prefix ends where a label does.
fn reverse_name(block: Cidr) -> String {
    let (labels, under): (Vec<String>, _) = match block.first() {
        IpAddr::V4(first) => {
            let labels = first.octets().map(|octet| octet.to_string());
            (labels.into_iter().take(usize::from(block.length() / 8)).collect(), "in-addr.arpa")
        }
        IpAddr::V6(first) => {
            let digits = format!("{:032x}", first.to_bits());
            let labels = digits.chars().take(usize::from(block.length() / 4));
            (labels.map(String::from).collect(), "ip6.arpa")
        }
    };
    labels.iter().rev().map(|label| format!("{label}.")).chain([under.to_owned()]).collect()
}

fn located(records: &mut String, name: &HostName, address: IpAddr) {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    record(records, name.as_str(), kind, format_args!("{address}"));
}

fn record(records: &mut String, owner: &str, kind: &str, data: std::fmt::Arguments<'_>) {
    // A `String` takes everything.
    let _ = writeln!(records, "{owner}. IN {kind} {data}");
}

/// The file of the zone that has these records.
fn zone(origin: String, records: &str, authority: &Authority) -> Result<Zone, ZoneError> {
    let Authority { serial, primary, mailbox, name_servers, ttl, timers } = authority;
    let Timers { refresh, retry, expire, negative } = timers;
    if name_servers.is_empty() {
        return Err(ZoneError::NoServer);
    }
    if [ttl, refresh, retry, expire, negative].into_iter().any(|time| *time > LONGEST) {
        return Err(ZoneError::Time);
    }
    let mut text = format!("$ORIGIN {origin}.\n$TTL {ttl}\n");
    let start =
        format_args!("{primary}. {mailbox}. {serial} {refresh} {retry} {expire} {negative}");
    record(&mut text, &origin, "SOA", start);
    for server in name_servers {
        record(&mut text, &origin, "NS", format_args!("{}.", server.name));
    }
    text.push_str(records);
    Ok(Zone { origin, text })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::cidr::bits;
    use crate::fixture::{apart, exit, region};

    fn authority() -> Authority {
        let host = |name: &str| name.parse().unwrap();
        let server = |name, address: &str| NameServer {
            name: host(name),
            addresses: vec![address.parse().unwrap()],
        };
        Authority {
            serial: 2_026_112_101,
            primary: host("ns1.dip.example"),
            mailbox: host("hostmaster.dip.example"),
            name_servers: vec![
                server("ns1.dip.example", "192.0.2.53"),
                server("ns2.dip.example", "2001:db8:ffff::53"),
            ],
            ttl: 3600,
            timers: Timers::default(),
        }
    }

    fn pattern() -> HostPattern {
        "{address}.{region}.dip.example".parse().unwrap()
    }

    fn hosts(addresses: &[&str]) -> BTreeMap<ExitAddress, Region> {
        addresses.iter().map(|text| (exit(text), region("eu-1"))).collect()
    }

    fn reverse(addresses: &[&str], cut: Ipv6Cut) -> Result<Vec<Zone>, ZoneError> {
        reverse_zones(&hosts(addresses), &pattern(), &authority(), cut)
    }

    const START: &str =
        "SOA ns1.dip.example. hostmaster.dip.example. 2026112101 86400 7200 3600000 3600";

    #[test]
    fn each_24_is_a_zone() {
        let zones =
            reverse(&["203.0.113.70", "203.0.113.7", "198.51.100.1"], Ipv6Cut::Slash48).unwrap();
        let origins: Vec<_> = zones.iter().map(|zone| zone.origin.as_str()).collect();
        assert_eq!(origins, ["100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa"]);
        assert_eq!(
            zones[1].text,
            format!(
                "$ORIGIN 113.0.203.in-addr.arpa.\n$TTL 3600\n\
                 113.0.203.in-addr.arpa. IN {START}\n\
                 113.0.203.in-addr.arpa. IN NS ns1.dip.example.\n\
                 113.0.203.in-addr.arpa. IN NS ns2.dip.example.\n\
                 7.113.0.203.in-addr.arpa. IN PTR 203-0-113-7.eu-1.dip.example.\n\
                 70.113.0.203.in-addr.arpa. IN PTR 203-0-113-70.eu-1.dip.example.\n"
            )
        );
    }

    #[test]
    fn a_leased_prefix_has_a_wildcard() {
        let addresses = ["2001:db8:1:2::/64", "2001:db8:1:3::5", "2001:db8:1:4000::/50"];
        let [zone] = reverse(&addresses, Ipv6Cut::Slash48).unwrap().try_into().unwrap();
        assert_eq!(zone.origin, "1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
        let records: Vec<_> = zone.text.lines().skip(5).collect();
        let five = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
        assert_eq!(
            records,
            [
                "*.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR 20010db800010002.eu-1.dip.example.".to_owned(),
                format!("{five} IN PTR 20010db8000100030000000000000005.eu-1.dip.example."),
                "*.4.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR 20010db800014.eu-1.dip.example.".to_owned(),
                "*.5.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR 20010db800014.eu-1.dip.example.".to_owned(),
                "*.6.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR 20010db800014.eu-1.dip.example.".to_owned(),
                "*.7.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR 20010db800014.eu-1.dip.example.".to_owned(),
            ]
        );
        // Cut at 64 bits, the prefix is its zone.
        let [zone] = reverse(&["2001:db8:1:2::/64"], Ipv6Cut::Slash64).unwrap().try_into().unwrap();
        assert_eq!(zone.origin, "2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
        assert!(zone.text.contains(&format!("\n*.{}. IN PTR ", zone.origin)));
        let shorter = exit("2001:db8:1:4000::/50");
        assert_eq!(reverse(&addresses, Ipv6Cut::Slash64), Err(ZoneError::Prefix(shorter)));
    }

    #[test]
    fn the_forward_zone_matches() {
        let hosts = hosts(&["203.0.113.7", "2001:db8::9", "2001:db8:1:2::/64"]);
        let zone = forward_zone(&hosts, &pattern(), &authority()).unwrap();
        assert_eq!(
            zone.text,
            format!(
                "$ORIGIN dip.example.\n$TTL 3600\n\
                 dip.example. IN {START}\n\
                 dip.example. IN NS ns1.dip.example.\n\
                 dip.example. IN NS ns2.dip.example.\n\
                 ns1.dip.example. IN A 192.0.2.53\n\
                 ns2.dip.example. IN AAAA 2001:db8:ffff::53\n\
                 20010db8000000000000000000000009.eu-1.dip.example. IN AAAA 2001:db8::9\n\
                 20010db800010002.eu-1.dip.example. IN AAAA 2001:db8:1:2::1\n\
                 203-0-113-7.eu-1.dip.example. IN A 203.0.113.7\n"
            )
        );
    }

    #[test]
    fn a_zone_that_could_not_be_served_is_none() {
        let hosts = hosts(&["203.0.113.7"]);
        let both = |authority: &Authority| {
            let reverse = reverse_zones(&hosts, &pattern(), authority, Ipv6Cut::Slash48);
            (reverse.err(), forward_zone(&hosts, &pattern(), authority).err())
        };
        assert_eq!(both(&authority()), (None, None));
        let nobody = Authority { name_servers: vec![], ..authority() };
        assert_eq!(both(&nobody), (Some(ZoneError::NoServer), Some(ZoneError::NoServer)));
        let long = Authority { ttl: LONGEST + 1, ..authority() };
        assert_eq!(both(&long), (Some(ZoneError::Time), Some(ZoneError::Time)));
        let mut lost = authority();
        lost.name_servers[0].addresses.clear();
        let name = lost.name_servers[0].name.clone();
        assert_eq!(both(&lost), (None, Some(ZoneError::Glue(name))));
        let mut elsewhere = authority();
        elsewhere.name_servers =
            vec![NameServer { name: "ns.counterdip.example".parse().unwrap(), addresses: vec![] }];
        assert_eq!(both(&elsewhere), (None, None));
        let odd = BTreeMap::from([(exit("203.0.113.7"), region("eu-"))]);
        let odd = forward_zone(&odd, &pattern(), &authority());
        assert!(matches!(odd, Err(ZoneError::Name(..))));
    }

    /// The block that a reverse name stands for, read back label by label.
    fn block_of(owner: &str) -> Cidr {
        let owner = owner.strip_prefix("*.").unwrap_or(owner);
        if let Some(labels) = owner.strip_suffix(".in-addr.arpa.") {
            let octets: Vec<&str> = labels.rsplit('.').collect();
            return octets.join(".").parse().unwrap();
        }
        let digits: String = owner.strip_suffix(".ip6.arpa.").unwrap().rsplit('.').collect();
        let bits = u128::from_str_radix(&format!("{digits:0<32}"), 16).unwrap();
        Cidr::new(IpAddr::V6(bits.into()), digits.len() as u8 * 4).unwrap()
    }

    proptest! {
        #[test]
        fn each_address_has_its_name_once_in_one_zone(
            hosts in apart("[a-z]{1,4}".prop_map(|name| region(&name))),
        ) {
            let zones = reverse_zones(&hosts, &pattern(), &authority(), Ipv6Cut::Slash48).unwrap();
            let origins: BTreeSet<_> = zones.iter().map(|zone| &zone.origin).collect();
            prop_assert_eq!(origins.len(), zones.len());
            // What is told of each name, by all zones together.
            let mut told: BTreeMap<String, Vec<Cidr>> = BTreeMap::new();
            for zone in &zones {
                let apex = format!(".{}.", zone.origin);
                for line in zone.text.lines().skip(5) {
                    let (owner, name) = line.split_once(" IN PTR ").unwrap();
                    prop_assert!(owner.ends_with(&apex));
                    told.entry(name.to_owned()).or_default().push(block_of(owner));
                }
            }
            let forward = forward_zone(&hosts, &pattern(), &authority()).unwrap();
            prop_assert_eq!(forward.text.lines().count(), 5 + 2 + hosts.len());
            prop_assert_eq!(told.len(), hosts.len());
            for (address, region) in &hosts {
                let name = pattern().name(*address, region).unwrap();
                let blocks = &told[&format!("{name}.")];
                // Side by side they are the whole.
                let whole = Cidr::from(*address);
                prop_assert_eq!((blocks[0].first(), blocks[blocks.len() - 1].last()), (whole.first(), whole.last()));
                for pair in blocks.windows(2) {
                    prop_assert_eq!(bits(pair[0].last()) + 1, bits(pair[1].first()));
                }
                let kind = if address.ip().is_ipv4() { "A" } else { "AAAA" };
                let line = format!("\n{name}. IN {kind} {}\n", address.source());
                prop_assert_eq!(forward.text.matches(&line).count(), 1);
            }
        }
    }
}
