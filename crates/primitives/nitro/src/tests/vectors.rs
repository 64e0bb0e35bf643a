//! The documents of `testdata/nitro`: see the README there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use coarse::UnixTime;
use serde::Deserialize;

use crate::{CheckName, Expectations, JsonReport, examine, verify};

#[derive(Deserialize)]
struct Cases {
    roots: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    file: String,
    root: String,
    at: u64,
    expect: String,
    why: String,
    nonce: Option<String>,
    public_key: Option<String>,
    pcrs: Option<BTreeMap<u8, String>>,
    #[serde(default)]
    allow_debug: bool,
    max_age: Option<u64>,
}

pub(super) fn file(name: &str) -> Vec<u8> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../testdata/nitro");
    std::fs::read(directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

impl Case {
    fn expectations(&self) -> Expectations {
        let bytes = |text: &String| hex::decode(text).unwrap();
        Expectations {
            nonce: self.nonce.as_ref().map(bytes),
            public_key: self.public_key.as_ref().map(bytes),
            user_data: None,
            pcrs: self
                .pcrs
                .iter()
                .flatten()
                .map(|(index, pcr)| (*index, bytes(pcr).try_into().unwrap()))
                .collect(),
            max_age: self.max_age.map(Duration::from_secs),
            allow_debug: self.allow_debug,
        }
    }
}

#[test]
fn every_vector_comes_out_right() {
    let Cases { roots, cases } = serde_json::from_slice(&file("cases.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let root = file(&roots[&case.root]);
        let at = UnixTime::from_seconds(case.at);
        let verdict = verify(&file(&case.file), &root, at, &case.expectations());
        println!("{}: {:?}", case.id, verdict.as_ref().map(|it| &it.module_id));
        if verdict.is_ok() != (case.expect == "accept") {
            wrong.push(format!("{} ({}): {verdict:?}", case.id, case.why));
        }
    }
    assert!(cases.len() > 50);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_genuine_document_says_what_aws_signed() {
    let root = file("root-aws.der");
    let document = file("real/20260103-base-9e038c2d.cbor");
    let at = UnixTime::from_seconds(1_767_472_868);
    let report = examine(&document, &root, at, &Expectations::default());
    let json = serde_json::to_value(JsonReport::from(&report)).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["module_id"], "i-0368fa67e156d6d23-enc019b8596b1a9dad6");
    assert_eq!(json["timestamp"], 1_767_472_867_402_u64);
    assert_eq!(json["pcrs"].as_object().unwrap().len(), 16);
    assert_eq!(json["pcrs"]["4"].as_str().unwrap()[..24], *"245617239e18ae8eb5150c2b");
    let names: Vec<_> = report.checks.iter().map(|check| check.name.to_string()).collect();
    let expected = [
        "cbor",
        "cose",
        "algorithm",
        "payload",
        "pcrs",
        "root",
        "certificate-chain",
        "signature",
        "timestamp",
        "debug-mode",
    ];
    assert_eq!(names, expected);
    assert!(report.checks.iter().all(|check| check.ok && !check.detail.is_empty()));
}

#[test]
fn a_refused_document_says_nothing() {
    let root = file("root-own.der");
    let document = file("own/signed-by-stranger.cbor");
    let at = UnixTime::from_seconds(1_767_225_601);
    let report = examine(&document, &root, at, &Expectations::default());
    let json = serde_json::to_value(JsonReport::from(&report)).unwrap();
    assert_eq!(json["ok"], false);
    assert!(json["module_id"].is_null() && json["timestamp"].is_null() && json["pcrs"].is_null());
    let failed: Vec<_> = report.checks.iter().filter(|check| !check.ok).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].name, CheckName::Signature);
    assert_eq!(report.first_failure(), Some(failed[0]));
}
