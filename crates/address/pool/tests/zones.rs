//! Zone files, read by a library that we didn't write.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::txt::Parser;
use lease::{ExitAddress, Region};
use pool::{
    Authority, Block, HostPattern, Ipv6Cut, NameServer, Timers, Zone, forward_zone, reverse_zones,
};

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) fn hosts() -> BTreeMap<ExitAddress, Region> {
        let blocks = [
            ("203.0.113.0/24", "eu-1"),
            ("198.51.100.7", "eu-2"),
            ("2001:db8:1:2::100/120", "eu-1"),
            ("2001:db8:1:4::/62", "eu-2"),
            ("2001:db8:2:4000::/50/50", "ap-1"),
            ("2001:db8:7::/48/48", "ap-1"),
        ];
        let hosts = blocks.into_iter().flat_map(|(block, region)| {
            let (block, region): (Block, Region) =
                (block.parse().unwrap(), region.parse().unwrap());
            block.addresses().map(move |address| (address, region.clone()))
        });
        hosts.collect()
    }

    pub(super) fn pattern() -> HostPattern {
        "{address}.{region}.dip.example".parse().unwrap()
    }

    pub(super) fn authority() -> Authority {
        let server = |name: &str, address: &str| NameServer {
            name: name.parse().unwrap(),
            addresses: vec![address.parse().unwrap()],
        };
        Authority {
            serial: 2_026_112_101,
            primary: "ns1.dip.example".parse().unwrap(),
            mailbox: "hostmaster.dip.example".parse().unwrap(),
            name_servers: vec![
                server("ns1.dip.example", "192.0.2.53"),
                server("ns2.other.example", "2001:db8:ffff::53"),
            ],
            ttl: 1800,
            timers: Timers::default(),
        }
    }

    /// The records of a zone, by name and type.
    pub(super) fn read(zone: &Zone) -> BTreeMap<(Name, RecordType), Vec<RData>> {
        let (origin, sets) = Parser::new(&zone.text, None, None).parse().unwrap();
        assert_eq!(origin, Name::from_ascii(format!("{}.", zone.origin)).unwrap());
        let mut all = BTreeMap::new();
        for (key, set) in sets {
            for record in set.records_without_rrsigs() {
                assert_eq!(record.ttl, 1800);
                let name = Name::from(key.name.clone());
                let records: &mut Vec<RData> = all.entry((name, key.record_type)).or_default();
                records.push(record.data.clone());
            }
        }
        all
    }

    /// What the zones say of an address, as a resolver finds it: the name itself, or the wildcard above it.
    pub(super) fn looked_up(
        zones: &BTreeMap<(Name, RecordType), Vec<RData>>,
        address: IpAddr,
    ) -> Vec<String> {
        let mut name = Name::from(address);
        let mut found = zones.get(&(name.clone(), RecordType::PTR));
        while found.is_none() && name.num_labels() > 2 {
            name = name.base_name();
            let wildcard = name.prepend_label("*").unwrap();
            found = zones.get(&(wildcard, RecordType::PTR));
        }
        found.into_iter().flatten().map(ToString::to_string).collect()
    }
}

use fixture::{authority, hosts, looked_up, pattern, read};

#[test]
fn a_stranger_finds_every_address_by_its_name_and_back() {
    let (hosts, pattern) = (hosts(), pattern());
    let zones = reverse_zones(&hosts, &pattern, &authority(), Ipv6Cut::Slash48).unwrap();
    assert_eq!(zones.len(), 5);
    let mut reverse = BTreeMap::new();
    for zone in &zones {
        let records = read(zone);
        let of = |kind| records.keys().filter(|(_, found)| *found == kind).count();
        assert_eq!((of(RecordType::SOA), of(RecordType::NS)), (1, 1));
        reverse.extend(records);
    }
    let forward = read(&forward_zone(&hosts, &pattern, &authority()).unwrap());
    for (address, region) in &hosts {
        let name = format!("{}.", pattern.name(*address, region).unwrap());
        assert_eq!(looked_up(&reverse, address.source()), [name.as_str()], "{address}");
        let kind = if address.ip().is_ipv4() { RecordType::A } else { RecordType::AAAA };
        let found = forward.get(&(Name::from_ascii(&name).unwrap(), kind)).unwrap();
        assert_eq!(
            found.iter().map(|data| data.ip_addr().unwrap()).collect::<Vec<_>>(),
            [address.source()]
        );
    }
    // Anywhere in a prefix, and nowhere beside it.
    for (inside, name) in [
        ("2001:db8:1:5:ffff::1", "20010db800010005.eu-2.dip.example."),
        ("2001:db8:2:4000::", "20010db800024.ap-1.dip.example."),
        ("2001:db8:2:7fff:ffff:ffff:ffff:ffff", "20010db800024.ap-1.dip.example."),
        ("2001:db8:7:abcd::9", "20010db80007.ap-1.dip.example."),
    ] {
        assert_eq!(looked_up(&reverse, inside.parse().unwrap()), [name], "{inside}");
    }
    for beside in ["2001:db8:1:8::1", "2001:db8:2:8000::", "203.0.113.0", "203.0.113.255"] {
        assert!(looked_up(&reverse, beside.parse().unwrap()).is_empty(), "{beside}");
    }
}
