//! Good documents with something changed after signing: none passes, none panics.

use coarse::UnixTime;
use proptest::prelude::*;

use super::vectors::file;
use crate::{Attestation, Expectations, Rejection, root_from_pem_or_der, verify};

const AT: UnixTime = UnixTime::from_seconds(1_767_225_601);

fn check(document: &[u8], root: &[u8]) -> Result<Attestation, Rejection> {
    verify(document, root, AT, &Expectations::default())
}

fn root() -> Vec<u8> {
    file("root-own.der")
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let (good, root) = (file("own/good.cbor"), root());
    assert!(check(&good, &root).is_ok());
    let mut document = good.clone();
    for place in 0..good.len() {
        // Every bit of head and signature; one bit of each byte in between, another at each place.
        let everywhere = place < 96 || place + 120 > good.len();
        for bit in (0..8).filter(|bit| everywhere || place % 8 == *bit) {
            document[place] ^= 1 << bit;
            assert!(check(&document, &root).is_err(), "byte {place}, bit {bit}");
            document[place] ^= 1 << bit;
        }
    }
}

#[test]
fn a_document_cut_or_extended_is_refused() {
    let (good, root) = (file("own/good.cbor"), root());
    for length in 0..good.len() {
        assert!(check(&good[..length], &root).is_err(), "{length}");
    }
    for more in [0x00, 0xf6, 0xff] {
        assert!(check(&[good.as_slice(), &[more]].concat(), &root).is_err());
    }
    assert!(check(&good.repeat(2), &root).is_err());
}

#[test]
fn tag_18_changes_nothing_and_other_tags_are_refused() {
    let (good, root) = (file("own/good.cbor"), root());
    let tagged = |tag: &[u8]| check(&[tag, &good].concat(), &root);
    assert_eq!(tagged(&[0xd2]).ok(), check(&good, &root).ok());
    assert!(tagged(&[0xd2]).is_ok());
    let others = [
        [0xd2, 0xd2].as_slice(),
        &[0xd8, 0x12],
        &[0xd1],
        &[0xd8, 61],
        &[0xd8, 98],
        &[0xd9, 0xd9, 0xf7],
    ];
    for tag in others {
        assert!(tagged(tag).is_err(), "{tag:x?}");
    }
}

#[test]
fn the_other_signature_of_the_pair_is_a_signature_too() {
    const ORDER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
                         581a0db248b0a77aecec196accc52973";
    let (mut document, root) = (file("own/good.cbor"), root());
    let order = hex::decode(ORDER).unwrap();
    // s becomes order - s: what was low is high now, or the other way round.
    let start = document.len() - 48;
    let mut borrow = 0;
    for (byte, limb) in document[start..].iter_mut().zip(order).rev() {
        let difference = i16::from(limb) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = difference.rem_euclid(256) as u8;
    }
    assert_ne!(document, file("own/good.cbor"));
    assert!(check(&document, &root).is_ok());
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(check(&bytes, &root()).is_err());
    }

    #[test]
    fn arbitrary_payloads_are_refused(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(check(&crate::cose::encode(&payload, &[1; 96]), &root()).is_err());
    }

    #[test]
    fn splices_are_refused(
        at: prop::sample::Index,
        removed in 0_usize..40,
        inserted in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let good = file("own/good.cbor");
        let start = at.index(good.len());
        let mut document = good.clone();
        document.splice(start..(start + removed).min(good.len()), inserted);
        prop_assert!(document == good || check(&document, &root()).is_err());
    }

    #[test]
    fn arbitrary_roots_are_refused(bytes: Vec<u8>) {
        prop_assert!(root_from_pem_or_der(&bytes).is_err());
    }
}
