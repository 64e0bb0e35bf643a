//! Certificates and their chains at an arbitrary time, against x509-parser.
//!
//! Input: seconds since 1970 (u64, big-endian), then certificates as `length (u16) || DER`: the root first, the leaf last.

use coarse::UnixTime;
use nitro::certificate::Certificate;
use nitro::chain::{check_chain, check_root};
use nitro::{is_untrusted_development, root_from_pem_or_der};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::fixture::{testdata, testdata_files};
use crate::input::{joined, pieces};

/// Reads certificates one by one, then as a chain.
pub(crate) fn check(input: &[u8]) {
    pem(input);
    let Some((seconds, rest)) = input.split_first_chunk() else { return };
    let seconds = u64::from_be_bytes(*seconds);
    let at = UnixTime::from_seconds(seconds);
    let certificates: Vec<Vec<u8>> = pieces(rest).into_iter().map(<[u8]>::to_vec).collect();
    certificates.iter().for_each(|bytes| agree(bytes, seconds));

    let Some((leaf, cabundle)) = certificates.split_last() else { return };
    let Some(root) = cabundle.first() else { return };
    let rooted = check_root(cabundle, root, at);
    let chained = check_chain(cabundle, leaf, root, at);
    assert_eq!(
        chained.is_ok(),
        check_chain(cabundle, leaf, root, at).is_ok(),
        "it is decided once"
    );
    if chained.is_ok() {
        assert!(rooted.is_ok(), "a good chain has a good root");
        assert!(chained.is_ok_and(|leaf| !leaf.is_ca && leaf.is_valid_at(seconds)));
        let mut above: Option<Certificate<'_>> = None;
        for bytes in &certificates {
            let certificate = Certificate::parse(bytes).expect("part of a good chain");
            assert!(certificate.is_valid_at(seconds));
            assert!(above.is_none_or(|it| it.is_ca && it.subject == certificate.issuer));
            above = Some(certificate);
        }
        // Shorter, or with another root, it's another chain.
        assert!(check_chain(&cabundle[1..], leaf, root, at).is_err() || cabundle.len() == 1);
        assert!(check_root(cabundle, leaf, at).is_err());
    }
}

/// What this reader takes, x509-parser reads as well, and the same.
fn agree(bytes: &[u8], seconds: u64) {
    let Ok(ours) = Certificate::parse(bytes) else { return };
    let (rest, theirs) = X509Certificate::from_der(bytes).expect("x509-parser reads it, too");
    assert!(rest.is_empty());
    assert_eq!(theirs.version().0, 2);
    assert!(theirs.issuer().as_raw().ends_with(ours.issuer));
    assert!(theirs.subject().as_raw().ends_with(ours.subject));
    assert_eq!(theirs.validity().not_before.timestamp(), ours.not_before);
    assert_eq!(theirs.validity().not_after.timestamp(), ours.not_after);
    assert_eq!(&*theirs.public_key().subject_public_key.data, ours.public_key);
    let constraints = theirs.basic_constraints().expect("once");
    assert_eq!(constraints.as_ref().is_some_and(|it| it.value.ca), ours.is_ca);
    let length = constraints.and_then(|it| it.value.path_len_constraint);
    assert_eq!(length, ours.path_length.map(u32::from));
    let usage = theirs.key_usage().expect("once");
    assert_eq!(usage.is_some(), ours.key_usage.is_some());
    if let (Some(theirs), Some(ours)) = (usage, ours.key_usage) {
        assert_eq!(theirs.value.digital_signature(), ours.digital_signature);
        assert_eq!(theirs.value.key_cert_sign(), ours.certificate_sign);
    }
    let valid = i64::try_from(seconds)
        .is_ok_and(|seconds| ours.not_before <= seconds && seconds <= ours.not_after);
    assert_eq!(ours.is_valid_at(seconds), valid);
    assert_eq!(root_from_pem_or_der(bytes).as_deref(), Ok(bytes));
}

/// A root to pin may come as PEM: what comes out is a certificate, and comes out of itself.
fn pem(input: &[u8]) {
    if let Ok(der) = root_from_pem_or_der(input) {
        assert!(Certificate::parse(&der).is_ok());
        assert_eq!(root_from_pem_or_der(&der).as_deref(), Ok(der.as_slice()));
    } else {
        assert!(!is_untrusted_development(input));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        testdata("nitro/root-own.der"),
        include_bytes!("../../../../crates/primitives/nitro/tests/data/root-aws.pem").to_vec(),
    ];
    let documents = testdata_files("nitro/real").into_iter().chain(testdata_files("nitro/own"));
    for document in documents {
        let Some(milliseconds) = nitro::timestamp_ms(&document) else { continue };
        let Some(chain) = super::attestation::chain(&document) else { continue };
        let pieces: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let time = (milliseconds / 1000).to_be_bytes();
        seeds.push([&time[..], &joined(&pieces)].concat());
    }
    seeds
}
