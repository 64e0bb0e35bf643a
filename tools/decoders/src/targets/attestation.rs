//! The whole verification of attestation documents, against ciborium's reading of them.
//!
//! The first byte says what follows: even, a document as it comes, checked against AWS's root at its own time; odd, the
//! rest of a payload map beside its certificates, which is signed with a development key, so that everything behind
//! the signature is reached.

use std::sync::LazyLock;

use ciborium::Value;
use coarse::UnixTime;
use nitro::cbor::Writer;
use nitro::{
    Attestation, DevelopmentAuthority, DocumentFields, DocumentSigner, Expectations, JsonReport,
    examine, verify,
};

use crate::fixture::{NOW, testdata, testdata_files};
use crate::input::{byte, tagged};

/// The root that is pinned, and a key that it vouches for.
static DEVELOPMENT: LazyLock<(Vec<u8>, DocumentSigner)> = LazyLock::new(|| {
    let authority = DevelopmentAuthority::generate(NOW).expect("a root");
    let signer = authority.issue(NOW).expect("a signer");
    (authority.root_der().to_vec(), signer)
});

static AWS: LazyLock<Vec<u8>> = LazyLock::new(|| testdata("nitro/root-aws.der"));

/// Verifies a document, found or made.
pub(crate) fn check(input: &[u8]) {
    let Some((mode, rest)) = byte(input) else { return };
    if mode % 2 == 0 {
        let at = nitro::timestamp_ms(rest).map_or(NOW, |ms| UnixTime::from_seconds(ms / 1000));
        verdict(rest, &AWS, at);
    } else {
        let (root, signer) = &*DEVELOPMENT;
        let document = signer.sign_unchecked(&payload(rest)).expect("it signs anything");
        if let Some(attestation) = verdict(&document, root, NOW) {
            again(&attestation, root, signer);
        }
    }
}

/// A payload of the input's fields (its first byte is the map's head) and the certificates that belong there.
fn payload(rest: &[u8]) -> Vec<u8> {
    let (_, signer) = &*DEVELOPMENT;
    let (head, fields) = byte(rest).unwrap_or((0xa9, &[]));
    let mut writer = Writer::default();
    writer.text("certificate");
    writer.bytes(signer.certificate());
    writer.text("cabundle");
    writer.array(signer.cabundle().len());
    signer.cabundle().iter().for_each(|certificate| writer.bytes(certificate));
    [&[head], writer.finish().as_slice(), fields].concat()
}

/// What the verifier says; checks that its two forms agree, and that what it accepts reads the same elsewhere.
fn verdict(document: &[u8], root: &[u8], at: UnixTime) -> Option<Attestation> {
    let any = Expectations { allow_debug: true, ..Expectations::default() };
    let (report, verdict) = (examine(document, root, at, &any), verify(document, root, at, &any));
    assert_eq!(report.attestation.as_ref(), verdict.as_ref().ok());
    assert_eq!(report.ok(), report.checks.iter().all(|check| check.ok));
    if let Err(rejection) = &verdict {
        let first = report.first_failure().expect("something failed");
        assert_eq!((first.name, &first.detail), (rejection.check, &rejection.detail));
    }
    let json = serde_json::to_value(JsonReport::from(&report)).expect("a report is JSON");
    assert_eq!(json["ok"], report.ok());

    let attestation = verdict.ok()?;
    let fields = fields(document).expect("ciborium reads what was accepted");
    let get = |name: &str| fields.iter().find(|(key, _)| key.as_text() == Some(name));
    let value = |name: &str| get(name).map(|(_, value)| value);
    let bytes = |name: &str| value(name).and_then(Value::as_bytes).cloned();
    assert_eq!(value("module_id").and_then(Value::as_text), Some(attestation.module_id.as_str()));
    let time = value("timestamp").and_then(Value::as_integer).expect("a number");
    assert_eq!(i128::from(time), i128::from(attestation.timestamp_ms));
    assert_eq!(bytes("certificate").as_ref(), Some(&attestation.certificate));
    assert_eq!(bytes("public_key"), attestation.public_key);
    assert_eq!(bytes("user_data"), attestation.user_data);
    assert_eq!(bytes("nonce"), attestation.nonce);
    let pcrs = value("pcrs").and_then(Value::as_map).expect("a map");
    assert_eq!(pcrs.len(), attestation.pcrs.len(), "no register counts twice");
    for (index, pcr) in pcrs {
        let index = u8::try_from(index.as_integer().expect("a number")).expect("below 32");
        assert_eq!(
            pcr.as_bytes().map(Vec::as_slice),
            attestation.pcrs.get(&index).map(|it| &it[..])
        );
    }
    expected(document, root, at, &attestation);
    Some(attestation)
}

/// Expecting what is there changes nothing; expecting anything else refuses.
fn expected(document: &[u8], root: &[u8], at: UnixTime, found: &Attestation) {
    let all = Expectations {
        nonce: found.nonce.clone(),
        public_key: found.public_key.clone(),
        user_data: found.user_data.clone(),
        pcrs: found.pcrs.clone(),
        max_age: None,
        allow_debug: true,
    };
    assert_eq!(verify(document, root, at, &all).as_ref(), Ok(found));
    let other = Expectations { nonce: Some(vec![0x5a; 1025]), ..all };
    assert!(verify(document, root, at, &other).is_err());
    let measured = (0..=2).any(|index| found.pcrs.get(&index).is_some_and(|pcr| *pcr != [0; 48]))
        && found.pcrs.get(&0) != Some(&[0; 48]);
    assert_eq!(verify(document, root, at, &Expectations::default()).is_ok(), measured);
}

/// What was understood, signed again, says the same.
fn again(attestation: &Attestation, root: &[u8], signer: &DocumentSigner) {
    let Attestation { module_id, timestamp_ms, pcrs, public_key, user_data, nonce, .. } =
        attestation.clone();
    let fields = DocumentFields { module_id, timestamp_ms, pcrs, public_key, user_data, nonce };
    let document = signer.sign(&fields).expect("fields of a good document");
    let any = Expectations { allow_debug: true, ..Expectations::default() };
    assert_eq!(verify(&document, root, NOW, &any).as_ref(), Ok(attestation));
}

/// The payload map, as ciborium reads it.
fn fields(document: &[u8]) -> Option<Vec<(Value, Value)>> {
    let bare = document.strip_prefix(&[0xd2]).unwrap_or(document);
    let parts: Vec<Value> = ciborium::from_reader(bare).ok()?;
    let payload = parts.get(2)?.as_bytes()?;
    ciborium::from_reader::<Value, _>(payload.as_slice()).ok()?.into_map().ok()
}

/// A document's certificates, the root first.
pub(crate) fn chain(document: &[u8]) -> Option<Vec<Vec<u8>>> {
    let fields = fields(document)?;
    let value = |name: &str| {
        fields.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value.clone())
    };
    let bundle = value("cabundle")?.into_array().ok()?;
    let leaf = value("certificate")?;
    bundle.into_iter().chain([leaf]).map(|one| one.into_bytes().ok()).collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let real = testdata_files("nitro/real");
    for document in real.iter().chain(&testdata_files("nitro/own")) {
        let Some(fields) = fields(document) else { continue };
        // Of a found document, all fields but the certificates and the time, which become our own.
        let mut rest = vec![0xa0 | u8::try_from(fields.len().min(23)).expect("few fields")];
        for (key, value) in &fields {
            if matches!(key.as_text(), Some("certificate" | "cabundle")) {
                continue;
            }
            let time = Value::Integer((NOW.seconds() * 1000).into());
            let value = if key.as_text() == Some("timestamp") { &time } else { value };
            ciborium::into_writer(key, &mut rest).expect("it was read");
            ciborium::into_writer(value, &mut rest).expect("it was read");
        }
        seeds.push(tagged(1, rest));
    }
    seeds.extend(real.iter().take(4).map(|document| tagged(0, document)));
    seeds
}
