//! What operators say of their pool: blocks, lists of addresses, geofeeds, patterns of host names, places. The first byte says which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::txt::Parser;
use lease::{ExitAddress, Region};
use pool::{
    Authority, Block, Cidr, Defaults, Exclusions, Geofeed, HostName, HostPattern, Ipv6Cut,
    LineErrors, MOST_ADDRESSES, MOST_ERRORS, NameServer, Place, Site, Timers, Zone, aggregate,
    forward_zone, overlaps, read_list, reverse_zones, warnings, write_list,
};

use crate::fixture;
use crate::input::{byte, tagged};

/// What is looked at address by address; of longer lists only the ends.
const FEW: usize = 5_000;

/// Reads one of them.
pub(crate) fn check(input: &[u8]) {
    let Some((kind, rest)) = byte(input) else { return };
    match kind % 4 {
        0 => list(rest),
        1 => geofeed(rest),
        kind => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            if kind == 2 { names(text) } else { block(text) }
        }
    }
}

/// A list: no two of its addresses are one, none is in what is excluded, and it is read as it is written.
fn list(file: &[u8]) {
    let excluded: Cidr = "203.0.113.128/25".parse().expect("a block");
    let defaults = Defaults {
        region: Some(fixture::region()),
        gateway: Some("gw1".to_owned()),
        excluded: Exclusions::new([excluded]),
    };
    let list = match read_list(file, &defaults) {
        Ok(list) => list,
        Err(errors) => return told(file, &errors),
    };
    assert!(list.count() + list.excluded() <= MOST_ADDRESSES);
    let rows: Vec<(ExitAddress, &Site)> = list.rows().collect();
    assert_eq!(rows.len(), list.count());
    if rows.len() > FEW {
        return;
    }
    let addresses: Vec<ExitAddress> = rows.iter().map(|(address, _)| *address).collect();
    let distinct: BTreeSet<ExitAddress> = addresses.iter().copied().collect();
    assert_eq!(distinct.len(), addresses.len(), "an address comes once");
    assert_eq!(overlaps(&addresses, &addresses), [], "or lies in nothing else");
    assert!(!addresses.iter().any(|address| excluded.overlaps((*address).into())));
    assert!(warnings(&addresses).iter().map(|warning| warning.count).sum::<usize>() <= rows.len());
    told_exactly(&addresses);
    let written = write_list(rows.iter().copied());
    let again = read_list(written.as_bytes(), &Defaults::default());
    assert_eq!(again.expect("it was written").rows().collect::<Vec<_>>(), rows);
}

/// The blocks that tell a set of addresses that don't overlap hold as much as they do, and each of them.
fn told_exactly(addresses: &[ExitAddress]) {
    let size = |block: Cidr| {
        let width = if block.first().is_ipv4() { 32 } else { 128 };
        1u128 << (width - block.length())
    };
    let blocks = aggregate(addresses.iter().copied());
    assert!(blocks.len() <= addresses.len() && blocks.is_sorted());
    for address in addresses {
        let holding = blocks.partition_point(|block| block.first() <= address.ip());
        assert!(holding > 0 && blocks[holding - 1].covers((*address).into()));
    }
    for four in [true, false] {
        let of = |blocks: &mut dyn Iterator<Item = Cidr>| -> u128 {
            blocks.filter(|block| block.first().is_ipv4() == four).map(size).sum()
        };
        let told = of(&mut blocks.iter().copied());
        assert_eq!(told, of(&mut addresses.iter().map(|one| (*one).into())));
    }
}

/// What is wrong is said to a bound, by line.
fn told<P: Display>(file: &[u8], errors: &LineErrors<P>) {
    let lines = 1 + file.iter().filter(|byte| **byte == b'\n').count();
    assert!((1..=MOST_ERRORS).contains(&errors.told.len()));
    assert!(errors.left_out == 0 || errors.told.len() == MOST_ERRORS);
    assert!(errors.told.is_sorted_by_key(|error| error.line));
    assert!(errors.told.iter().all(|error| (1..=lines).contains(&error.line)));
    assert!(!errors.to_string().is_empty());
}

/// A geofeed is read as it is written.
fn geofeed(file: &[u8]) {
    let feed = match Geofeed::read(file) {
        Ok(feed) => feed,
        Err(errors) => return told(file, &errors),
    };
    let written = feed.to_text("");
    assert_eq!(written.matches("\r\n").count(), feed.entries().count());
    assert_eq!(written.matches('\n').count(), feed.entries().count());
    assert_eq!(Geofeed::read(written.as_bytes()), Ok(feed.clone()));
    for (_, place) in feed.entries() {
        assert_eq!(place.to_string().parse().as_ref(), Ok(place));
    }
}

/// A pattern's names, places, host names. Zones of such names are read by a library that we didn't write, and say each once.
fn names(text: &str) {
    if let Ok(place) = text.parse::<Place>() {
        assert_eq!(place.to_string(), text);
    }
    if let Ok(name) = text.parse::<HostName>() {
        assert_eq!(name.as_str(), text.to_ascii_lowercase());
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        let theirs = Name::from_ascii(text).expect("a name");
        assert!(theirs.len() <= 255 && theirs.iter().all(|label| label.len() <= 63));
    }
    let Ok(pattern) = text.parse::<HostPattern>() else { return };
    assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
    let hosts: BTreeMap<ExitAddress, Region> = HOSTS
        .iter()
        .map(|(address, region)| {
            (address.parse().expect("an address"), region.parse().expect("a region"))
        })
        .collect();
    let names: Result<BTreeSet<HostName>, _> =
        hosts.iter().map(|(address, region)| pattern.name(*address, region)).collect();
    let reverse = reverse_zones(&hosts, &pattern, &authority(), Ipv6Cut::Slash48);
    let forward = forward_zone(&hosts, &pattern, &authority());
    let Ok(names) = names else { return assert!(reverse.is_err() && forward.is_err()) };
    assert_eq!(names.len(), hosts.len(), "each address has a name of its own");
    assert!(names.iter().all(|name| name.is_within(pattern.domain())));
    let reverse = reverse.expect("all have names");
    let pointers: usize = reverse.iter().map(|zone| records(zone, &[RecordType::PTR])).sum();
    // One of them is a prefix of 62 bits, which four wildcards make up.
    assert_eq!(pointers, hosts.len() + 3);
    let forward = forward.expect("all have names");
    let servers = authority().name_servers;
    let glue = servers.iter().filter(|server| server.name.is_within(pattern.domain())).count();
    let addresses = records(&forward, &[RecordType::A, RecordType::AAAA]);
    assert_eq!(addresses, hosts.len() + glue);
}

/// How many records of these types a zone has.
fn records(zone: &Zone, kinds: &[RecordType]) -> usize {
    let (origin, sets) = Parser::new(&zone.text, None, None).parse().expect("a zone");
    assert_eq!(origin, Name::from_ascii(format!("{}.", zone.origin)).expect("a name"));
    let of = sets.iter().filter(|(key, _)| kinds.contains(&key.record_type));
    of.map(|(_, set)| set.records_without_rrsigs().count()).sum()
}

const HOSTS: [(&str, &str); 6] = [
    ("203.0.113.7", "eu-1"),
    ("203.0.113.70", "e"),
    ("2001:db8::7", "eu-1"),
    ("2001:db8:1:2::/64", "eu-1"),
    ("2001:db8:2::/48", "7"),
    ("2001:db8:1:4::/62", "eu-1"),
];

fn authority() -> Authority {
    let server = |name: &str| NameServer {
        name: name.parse().expect("a name"),
        addresses: vec!["192.0.2.53".parse().expect("an address")],
    };
    Authority {
        serial: 1,
        primary: "ns1.dip.example".parse().expect("a name"),
        mailbox: "hostmaster.dip.example".parse().expect("a name"),
        name_servers: vec![server("ns1.dip.example"), server("ns2.example")],
        ttl: 3600,
        timers: Timers::default(),
    }
}

/// A block is its leases, and is written in one form.
fn block(text: &str) {
    let Ok(block) = text.parse::<Block>() else { return };
    assert_eq!(block.to_string().parse(), Ok(block));
    let count = block.count() as usize;
    assert!((1..=65_536).contains(&count));
    let ends = block.addresses().take(FEW);
    let all: Vec<ExitAddress> = ends.collect();
    assert_eq!(all.len(), count.min(FEW), "every part can be leased");
    assert!(all.is_sorted_by(|one, other| one < other && !one.overlaps(other)));
    assert!(all.iter().all(|address| block.range().covers((*address).into())));
    if count > FEW {
        return;
    }
    told_exactly(&all);
    assert!(block.without(&Exclusions::new([block.range()])).is_empty());
    let first = Exclusions::new([Cidr::from(all[0].source())]);
    assert_eq!(block.without(&first), all[1..]);
    for address in [all[0], all[count - 1]] {
        assert_eq!(address.to_string().parse(), Ok(address));
        assert_eq!(ExitAddress::from_bytes(&address.bytes()), Ok(address));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let lists = [
        "address,region,gateway\r\n203.0.113.7,eu-1,gw1\r\n203.0.113.64/26,eu-1,gw1\r\n2001:db8:1::/56,eu-2,gw2\r\n",
        "\u{feff}# ours\n\ngateway,address\ngw1,\"2001:db8:2::/56/56\"\n,2001:db8::100/120\n",
        "address\n203.0.113.7\n203.0.113.0/29\n2001:db8::/62\n2001:db8:0:1::5\n203.0.113.1/24\nx\n",
        "address,region\n203.0.113.7,EU\n203.0.113.8\n\"203.0.113.9,eu-1\n",
        "address\n10.0.0.0/16\n10.0.0.0/16\n",
    ];
    let feeds = [
        "# a feed\r\n203.0.113.0/24,DE,DE-BE,Berlin,\r\n2001:db8::/32,SG,,\"\"\"Lion\"\" City\",\r\n",
        "203.0.113.0/24,DE,DE-BE,Berlin,\n203.0.113.0/24,DE,,,\n203.0.113.1/24,XX,,,1\n2001:db8::,DE\n",
    ];
    let names = [
        "{address}.{region}.dip.example",
        "IP-{address}.example",
        "{region}-{address}.{region}.dip.example",
        "{address}{region}.example",
        "DE,DE-BE,Berlin",
        "SG,,Singapore",
        "ns1.dip.example",
    ];
    let blocks = [
        "203.0.113.0/24",
        "127.7.0.0/16",
        "192.0.2.0/31",
        "2001:db8::/48",
        "2001:db8::/44/56",
        "2001:db8::100/120",
        "2001:db8:1:2::/64",
        "255.255.255.254/31",
        "fe80::/64",
    ];
    let all = lists.iter().map(|text| tagged(0, text));
    let all = all.chain(feeds.iter().map(|text| tagged(1, text)));
    let all = all.chain(names.iter().map(|text| tagged(2, text)));
    all.chain(blocks.iter().map(|text| tagged(3, text))).collect()
}
