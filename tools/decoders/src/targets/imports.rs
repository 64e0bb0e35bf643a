//! What operators take in from files and command lines: published keys with their proofs, key sets, networks, blocks,
//! addresses, names. The first byte says which.

use std::net::IpAddr;
use std::str::FromStr;

use epoch_keys::{Imported, Proof, PublishedKey, Purpose, Root, TreePin};
use jws::{Jwk, KeySet, VerifyingKey};
use lease::{ExitAddress, LeaseId, Region};
use peer_key::PeerKey;
use pool::Cidr;
use tunnel::Network;

use crate::fixture;
use crate::input::{byte, tagged};

/// Takes one of them in.
pub(crate) fn check(input: &[u8]) {
    let Some((kind, rest)) = byte(input) else { return };
    match kind % 6 {
        0 => published(rest),
        1 => proof(rest),
        2 => key_set(rest),
        3 => pin(rest),
        _ => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            if kind % 6 == 4 { networks(text) } else { names(text) }
        }
    }
}

/// A file of keys: what is taken in is what the tree commits to, and nothing else.
fn published(rest: &[u8]) {
    let pin = fixture::pin();
    let Ok(imported) = Imported::from_json(rest, &pin) else { return };
    for key in &imported.keys {
        assert_eq!(*key, fixture::published(), "the tree commits to one key");
    }
    let all: Vec<PublishedKey> = serde_json::from_slice(rest).expect("it was read");
    assert_eq!(all.len(), imported.keys.len() + imported.others);
    let written = serde_json::to_vec(&all).expect("keys are JSON");
    let again = Imported::from_json(&written, &pin).expect("it was written");
    assert_eq!(again, imported);
}

/// A proof of 512 bytes: the tree's own leads to its root, any other elsewhere.
fn proof(rest: &[u8]) {
    let Ok(proof) = Proof::from_bytes(rest) else { return assert_ne!(rest.len(), Proof::LENGTH) };
    assert_eq!(proof.to_bytes(), rest);
    assert_eq!(Proof::try_from(String::from(proof.clone())), Ok(proof.clone()));
    let good = fixture::published();
    let verdict = fixture::pin().verify(good.epoch, good.public_key.as_ref(), &proof);
    assert_eq!(verdict.is_ok(), proof == good.proof);
    assert!(fixture::pin().verify(good.epoch.next(), good.public_key.as_ref(), &proof).is_err());
}

fn key_set(rest: &[u8]) {
    if let Ok(keys) = serde_json::from_slice::<KeySet>(rest) {
        let written = serde_json::to_vec(&keys).expect("keys are JSON");
        assert_eq!(serde_json::from_slice::<KeySet>(&written).ok().as_ref(), Some(&keys));
        for key in keys.iter() {
            assert!(keys.get(key.id().as_str()).is_some_and(|found| found == key));
            assert_eq!(VerifyingKey::try_from(&Jwk::from(key)).as_ref(), Ok(key));
            assert_eq!(VerifyingKey::from_bytes(*key.bytes()), *key, "its name is its thumbprint");
        }
    }
}

fn pin(rest: &[u8]) {
    let Ok(pin) = serde_json::from_slice::<TreePin>(rest) else { return };
    let written = serde_json::to_vec(&pin).expect("a pin is JSON");
    assert_eq!(serde_json::from_slice::<TreePin>(&written).ok(), Some(pin));
    assert_eq!(pin.root.to_string().parse::<Root>(), Ok(pin.root));
    let key = fixture::published();
    assert_eq!(key.verify(&pin).is_ok(), pin == fixture::pin());
}

/// Networks and blocks: the gateway's reader and the DIP service's agree on what a block is.
fn networks(text: &str) {
    let network = text.parse::<Network>();
    let Ok(block) = text.parse::<Cidr>() else { return };
    let network = network.expect("a block is a network");
    assert_eq!(Network::new(block.first(), block.length()), Ok(network));
    for address in [before(block.first()), block.first(), block.last(), after(block.last())] {
        assert_eq!(block.contains(address), network.contains(address));
    }
}

fn before(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address.to_bits().wrapping_sub(1).into()),
        IpAddr::V6(address) => IpAddr::V6(address.to_bits().wrapping_sub(1).into()),
    }
}

fn after(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address.to_bits().wrapping_add(1).into()),
        IpAddr::V6(address) => IpAddr::V6(address.to_bits().wrapping_add(1).into()),
    }
}

/// Names, ids, keys and addresses are written as they are read.
fn names(text: &str) {
    if let Ok(region) = text.parse::<Region>() {
        assert_eq!(region.as_str(), text);
    }
    if let Ok(lease) = text.parse::<LeaseId>() {
        assert_eq!(lease.to_hex(), text.to_ascii_lowercase());
    }
    if let Ok(address) = text.parse::<ExitAddress>() {
        assert_eq!(address.to_string(), text, "an address has one form");
        assert!(address.contains(address.ip()) && address.contains(address.source()));
        assert_eq!(ExitAddress::from_bytes(&address.bytes()), Ok(address));
    }
    if let Ok(key) = text.parse::<PeerKey>() {
        assert_eq!(key.to_string(), text, "a key has one form");
        assert_eq!(PeerKey::from_bytes(*key.bytes()), Ok(key));
    }
    if let Ok(purpose) = Purpose::from_str(text) {
        assert_eq!(purpose.as_str(), text);
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let key = fixture::published();
    let mut other = key.clone();
    other.purpose = Purpose::Access;
    let mut spoilt = key.clone();
    spoilt.epoch = spoilt.epoch.next();
    let json = |keys: &[PublishedKey]| serde_json::to_vec(keys).expect("JSON");
    let mut seeds = vec![
        tagged(0, json(std::slice::from_ref(&key))),
        tagged(0, json(&[other, key.clone()])),
        tagged(0, json(&[key.clone(), spoilt])),
        tagged(0, "[]"),
        tagged(1, key.proof.to_bytes()),
        tagged(1, [7; 512]),
        tagged(2, serde_json::to_vec(&fixture::keys(fixture::Role::Orders)).expect("JSON")),
        tagged(3, serde_json::to_vec(&fixture::pin()).expect("JSON")),
    ];
    let texts = [
        "192.0.2.0/24",
        "10.0.0.0/16",
        "192.0.2.1",
        "192.0.2.0/31",
        "255.255.255.254/31",
        "2001:db8::/32",
    ];
    seeds.extend(texts.map(|text| tagged(4, text)));
    let device = fixture::device().to_string();
    let lease = fixture::lease_id().to_hex();
    seeds.extend(
        [
            "eu-1",
            "203.0.113.7",
            "2001:db8::1",
            "2001:db8:1:2::/64",
            &device,
            &lease,
            "dedicated-ip",
        ]
        .map(|text| tagged(5, text)),
    );
    seeds
}
