//! What tests share.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use lease::{ExitAddress, PREFIX_LENGTHS, Region};
use proptest::collection::btree_map;
use proptest::prelude::*;

use crate::{Block, Cidr};

pub(crate) fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

pub(crate) fn block(text: &str) -> Block {
    text.parse().unwrap()
}

pub(crate) fn exit(text: &str) -> ExitAddress {
    text.parse().unwrap()
}

pub(crate) fn region(name: &str) -> Region {
    name.parse().unwrap()
}

pub(crate) fn texts<T: ToString>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

/// Addresses and prefixes of a few small networks, so that many lie side by side or in one another.
pub(crate) fn near() -> impl Strategy<Value = ExitAddress> {
    const NETWORK: u128 = 0x2001_0db8 << 96;
    let four = (0u32..64).prop_map(|low| IpAddr::from((0xcb00_7100 + low).to_be_bytes()));
    let six = (0u128..4, 0u128..16)
        .prop_map(|(net, low)| IpAddr::from((NETWORK | net << 64 | low).to_be_bytes()));
    let single = prop_oneof![four, six].prop_map(|address| ExitAddress::try_from(address).unwrap());
    let prefix = (PREFIX_LENGTHS, 0u128..8).prop_map(|(length, at)| {
        let first = Ipv6Addr::from_bits(NETWORK | at << (128 - length));
        ExitAddress::from_prefix(first, length).unwrap()
    });
    prop_oneof![3 => single, 1 => prefix]
}

/// Addresses and prefixes none of which has what another has, as leased ones are, each with something beside it.
pub(crate) fn apart<T: std::fmt::Debug>(
    beside: impl Strategy<Value = T>,
) -> impl Strategy<Value = BTreeMap<ExitAddress, T>> {
    btree_map(near(), beside, 0..40).prop_map(|all| {
        let mut apart: BTreeMap<ExitAddress, T> = BTreeMap::new();
        for (address, beside) in all {
            if !apart.keys().any(|other| other.overlaps(&address)) {
                apart.insert(address, beside);
            }
        }
        apart
    })
}
