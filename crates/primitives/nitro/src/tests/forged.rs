//! Documents whose signature holds, so that only the named fault is left to find.

use std::time::Duration;

use coarse::UnixTime;

use super::forge::{
    Chain, NOW, Parts, array, bytes, check, document, map, open_map, pcr_map, pcr_pairs, text,
    unsigned,
};
use crate::{CheckName, Expectations, Pcrs, verify};

type Spoil = fn(&mut Parts);

/// Every document of the table must fail, and at the check that it is meant to fail at.
fn all_refused(table: &[(&str, CheckName, Spoil)]) {
    let chain = Chain::new(|_| {});
    for (name, expected, spoil) in table {
        match check(&document(&chain, spoil), &chain) {
            Ok(_) => panic!("{name}: accepted"),
            Err(rejection) => assert_eq!(rejection.check, *expected, "{name}: {rejection}"),
        }
    }
}

#[test]
fn what_is_unusual_but_right_passes() {
    let chain = Chain::new(|_| {});
    let table: &[(&str, Spoil)] = &[
        ("nothing changed", |_| {}),
        ("tag 18", |parts| parts.prefix = vec![0xd2, 0x84]),
        ("open payload map", |parts| parts.open = true),
        ("open pcrs map", |parts| parts.set("pcrs", open_map(&pcr_pairs(0..16)))),
        ("fields in another order", |parts| parts.fields.reverse()),
        ("32 registers", |parts| parts.set("pcrs", pcr_map(0..32))),
        ("three registers", |parts| parts.set("pcrs", pcr_map(0..3))),
        ("no optional field", |parts| {
            ["public_key", "user_data", "nonce"].iter().for_each(|key| parts.remove(key));
        }),
        ("null optional fields", |parts| {
            ["public_key", "user_data", "nonce"].iter().for_each(|key| parts.set(key, vec![0xf6]));
        }),
        ("empty user_data and nonce", |parts| {
            ["user_data", "nonce"].iter().for_each(|key| parts.set(key, bytes(&[])));
        }),
        ("1024 bytes each", |parts| {
            ["public_key", "user_data", "nonce"]
                .iter()
                .for_each(|key| parts.set(key, bytes(&[9; 1024])));
        }),
        ("as much in the future as allowed", |parts| {
            parts.set("timestamp", unsigned((NOW + 61) * 1000));
        }),
    ];
    for (name, spoil) in table {
        let verdict = check(&document(&chain, spoil), &chain);
        assert!(verdict.is_ok(), "{name}: {verdict:?}");
    }
}

#[test]
fn wrong_envelopes_are_refused() {
    use CheckName::{Algorithm, Cbor, Cose, Signature};

    all_refused(&[
        ("tag 17", Cbor, |parts| parts.prefix = vec![0xd1, 0x84]),
        ("tag 61, CWT", Cbor, |parts| parts.prefix = vec![0xd8, 61, 0x84]),
        ("tag 98, COSE_Sign", Cbor, |parts| parts.prefix = vec![0xd8, 98, 0x84]),
        ("tag 18 twice", Cbor, |parts| parts.prefix = vec![0xd2, 0xd2, 0x84]),
        ("tag 18 in a longer form", Cbor, |parts| parts.prefix = vec![0xd8, 18, 0x84]),
        ("array of five", Cbor, |parts| parts.prefix = vec![0x85]),
        ("array of three", Cbor, |parts| parts.prefix = vec![0x83]),
        ("open array", Cbor, |parts| parts.prefix = vec![0x9f]),
        ("array head in a longer form", Cbor, |parts| parts.prefix = vec![0x98, 4]),
        ("byte order mark", Cbor, |parts| parts.prefix = vec![0xef, 0xbb, 0xbf, 0x84]),
        ("ES256", Algorithm, |parts| parts.protected = vec![0xa1, 0x01, 0x26]),
        ("ES512", Algorithm, |parts| parts.protected = vec![0xa1, 0x01, 0x38, 0x23]),
        ("EdDSA", Algorithm, |parts| parts.protected = vec![0xa1, 0x01, 0x27]),
        ("alg as text", Algorithm, |parts| {
            parts.protected = [vec![0xa1, 0x01], text("ES384")].concat();
        }),
        ("alg twice", Algorithm, |parts| {
            parts.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x01, 0x38, 0x22];
        }),
        ("alg and a key id", Algorithm, |parts| {
            parts.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x07];
        }),
        ("alg in a longer form", Algorithm, |parts| {
            parts.protected = vec![0xa1, 0x01, 0x39, 0x00, 0x22];
        }),
        ("alg in an open map", Algorithm, |parts| {
            parts.protected = vec![0xbf, 0x01, 0x38, 0x22, 0xff];
        }),
        ("no alg", Algorithm, |parts| parts.protected = vec![]),
        ("empty header map", Algorithm, |parts| parts.protected = vec![0xa0]),
        ("bytes behind the header map", Algorithm, |parts| parts.protected.push(0)),
        ("unprotected alg too", Cose, |parts| {
            parts.unprotected = map(&[(unsigned(1), vec![0x38, 0x22])]);
        }),
        ("unprotected alg only", Cose, |parts| {
            parts.protected = vec![];
            parts.unprotected = map(&[(unsigned(1), vec![0x38, 0x22])]);
        }),
        ("unprotected key id", Cose, |parts| {
            parts.unprotected = map(&[(unsigned(4), bytes(b"key"))]);
        }),
        ("open unprotected map", Cbor, |parts| parts.unprotected = vec![0xbf, 0xff]),
        ("null for the unprotected map", Cbor, |parts| parts.unprotected = vec![0xf6]),
        ("detached payload", Cbor, |parts| parts.payload_item = Some(vec![0xf6])),
        ("undefined payload", Cbor, |parts| parts.payload_item = Some(vec![0xf7])),
        ("payload as text", Cbor, |parts| parts.payload_item = Some(text("payload"))),
        ("payload not wrapped", Cbor, |parts| parts.payload_item = Some(map(&parts.fields))),
        ("payload in chunks", Cbor, |parts| {
            let payload = bytes(&map(&parts.fields));
            parts.payload_item = Some([vec![0x5f], payload, vec![0xff]].concat());
        }),
        ("empty payload", Cose, |parts| parts.payload = Some(vec![])),
        ("another payload than signed", Signature, |parts| {
            let mut other = parts.fields.clone();
            other.reverse();
            parts.payload_item = Some(bytes(&map(&other)));
        }),
        ("signed by the instance's CA", Signature, |parts| parts.signer = 3),
        ("signed by the root", Signature, |parts| parts.signer = 0),
    ]);
}

#[test]
fn wrong_payloads_are_refused() {
    use CheckName::{Payload, Timestamp};

    all_refused(&[
        ("bytes behind the payload map", Payload, |parts| {
            parts.payload = Some([map(&parts.fields), vec![0]].concat());
        }),
        ("payload map that counts one less", Payload, |parts| {
            let mut payload = map(&parts.fields);
            payload[0] -= 1;
            parts.payload = Some(payload);
        }),
        ("payload map that counts one more", Payload, |parts| {
            let mut payload = map(&parts.fields);
            payload[0] += 1;
            parts.payload = Some(payload);
        }),
        ("open payload map without its end", Payload, |parts| {
            let mut payload = open_map(&parts.fields);
            payload.pop();
            parts.payload = Some(payload);
        }),
        ("open payload map that ends after a key", Payload, |parts| {
            let mut payload = open_map(&parts.fields);
            payload.pop();
            payload.extend([text("nonce"), vec![0xff]].concat());
            parts.payload = Some(payload);
        }),
        ("payload under a tag", Payload, |parts| {
            parts.payload = Some([vec![0xd9, 0xd9, 0xf7], map(&parts.fields)].concat());
        }),
        ("payload is an array", Payload, |parts| parts.payload = Some(array(&[]))),
        ("payload is null", Payload, |parts| parts.payload = Some(vec![0xf6])),
        ("empty payload map", Payload, |parts| parts.fields.clear()),
        ("unknown field", Payload, |parts| parts.fields.push((text("extra"), unsigned(1)))),
        ("field of another case", Payload, |parts| parts.fields[0].0 = text("Module_id")),
        ("key as bytes", Payload, |parts| parts.fields[0].0 = bytes(b"module_id")),
        ("key as a number", Payload, |parts| parts.fields[0].0 = unsigned(0)),
        ("key in chunks", Payload, |parts| {
            parts.fields[0].0 = [vec![0x7f], text("module_id"), vec![0xff]].concat();
        }),
        ("key length in a longer form", Payload, |parts| {
            parts.fields[0].0 = [vec![0x78, 9], b"module_id".to_vec()].concat();
        }),
        ("module_id twice", Payload, |parts| parts.fields.push((text("module_id"), text("i-1")))),
        ("digest twice", Payload, |parts| parts.fields.push((text("digest"), text("SHA384")))),
        ("timestamp twice", Payload, |parts| {
            parts.fields.push((text("timestamp"), unsigned(NOW * 1000)));
        }),
        ("pcrs twice", Payload, |parts| parts.fields.insert(0, (text("pcrs"), pcr_map(0..16)))),
        ("certificate twice", Payload, |parts| {
            let again = parts.fields[4].clone();
            parts.fields.push(again);
        }),
        ("cabundle twice", Payload, |parts| {
            let again = parts.fields[5].clone();
            parts.fields.push(again);
        }),
        ("nonce twice, one null", Payload, |parts| {
            parts.fields.insert(0, (text("nonce"), vec![0xf6]));
        }),
        ("user_data twice, both null", Payload, |parts| {
            parts.fields.push((text("user_data"), vec![0xf6]));
        }),
        ("public_key twice", Payload, |parts| {
            parts.fields.push((text("public_key"), bytes(&[8; 32])));
        }),
        ("no module_id", Payload, |parts| parts.remove("module_id")),
        ("no digest", Payload, |parts| parts.remove("digest")),
        ("no timestamp", Payload, |parts| parts.remove("timestamp")),
        ("no pcrs", Payload, |parts| parts.remove("pcrs")),
        ("no certificate", Payload, |parts| parts.remove("certificate")),
        ("no cabundle", Payload, |parts| parts.remove("cabundle")),
        ("null module_id", Payload, |parts| parts.set("module_id", vec![0xf6])),
        ("null certificate", Payload, |parts| parts.set("certificate", vec![0xf6])),
        ("null cabundle", Payload, |parts| parts.set("cabundle", vec![0xf6])),
        ("null timestamp", Payload, |parts| parts.set("timestamp", vec![0xf6])),
        ("null digest", Payload, |parts| parts.set("digest", vec![0xf6])),
        ("empty module_id", Payload, |parts| parts.set("module_id", text(""))),
        ("module_id as bytes", Payload, |parts| parts.set("module_id", bytes(b"i-0"))),
        ("module_id not UTF-8", Payload, |parts| parts.set("module_id", vec![0x61, 0xff])),
        ("digest SHA256", Payload, |parts| parts.set("digest", text("SHA256"))),
        ("digest SHA512", Payload, |parts| parts.set("digest", text("SHA512"))),
        ("digest sha384", Payload, |parts| parts.set("digest", text("sha384"))),
        ("digest SHA-384", Payload, |parts| parts.set("digest", text("SHA-384"))),
        ("digest as bytes", Payload, |parts| parts.set("digest", bytes(b"SHA384"))),
        ("timestamp 0", Payload, |parts| parts.set("timestamp", unsigned(0))),
        ("timestamp -1", Payload, |parts| parts.set("timestamp", vec![0x20])),
        ("timestamp as a float", Payload, |parts| {
            let float = (NOW as f64 * 1000.0).to_be_bytes();
            parts.set("timestamp", [[0xfb].as_slice(), &float].concat());
        }),
        ("timestamp as text", Payload, |parts| parts.set("timestamp", text("1767225600500"))),
        ("timestamp under tag 1", Payload, |parts| {
            parts.set("timestamp", [vec![0xc1], unsigned(NOW * 1000)].concat());
        }),
        ("timestamp as a bignum", Payload, |parts| {
            parts.set("timestamp", [vec![0xc2], bytes(&(NOW * 1000).to_be_bytes())].concat());
        }),
        ("timestamp in seconds", Timestamp, |parts| parts.set("timestamp", unsigned(NOW))),
        ("timestamp in microseconds", Timestamp, |parts| {
            parts.set("timestamp", unsigned(NOW * 1_000_000));
        }),
        ("timestamp before the leaf", Timestamp, |parts| {
            parts.set("timestamp", unsigned((NOW - 3601) * 1000));
        }),
        ("timestamp after the leaf", Timestamp, |parts| {
            parts.set("timestamp", unsigned((NOW + 7201) * 1000));
        }),
        ("largest timestamp", Timestamp, |parts| parts.set("timestamp", unsigned(u64::MAX))),
        ("61 s in the future", Timestamp, |parts| {
            parts.set("timestamp", unsigned((NOW + 62) * 1000));
        }),
        ("empty certificate", Payload, |parts| parts.set("certificate", bytes(&[]))),
        ("certificate of 1025 bytes", Payload, |parts| {
            parts.set("certificate", bytes(&[0x30; 1025]));
        }),
        ("certificate as text", Payload, |parts| parts.set("certificate", text("MII"))),
        ("empty cabundle", Payload, |parts| parts.set("cabundle", array(&[]))),
        ("cabundle is one certificate", Payload, |parts| {
            parts.set("cabundle", bytes(&[0x30; 500]));
        }),
        ("cabundle of an empty one", Payload, |parts| {
            parts.set("cabundle", array(&[bytes(&[])]));
        }),
        ("cabundle of too large a one", Payload, |parts| {
            parts.set("cabundle", array(&[bytes(&[0x30; 1025])]));
        }),
        ("cabundle of text", Payload, |parts| parts.set("cabundle", array(&[text("MII")]))),
        ("empty public_key", Payload, |parts| parts.set("public_key", bytes(&[]))),
        ("public_key of 1025 bytes", Payload, |parts| parts.set("public_key", bytes(&[1; 1025]))),
        ("public_key as text", Payload, |parts| parts.set("public_key", text("key"))),
        ("public_key undefined", Payload, |parts| parts.set("public_key", vec![0xf7])),
        ("user_data of 1025 bytes", Payload, |parts| parts.set("user_data", bytes(&[1; 1025]))),
        ("user_data false", Payload, |parts| parts.set("user_data", vec![0xf4])),
        ("nonce of 1025 bytes", Payload, |parts| parts.set("nonce", bytes(&[1; 1025]))),
        ("nonce in chunks", Payload, |parts| {
            parts.set("nonce", [vec![0x5f], bytes(b"nonce"), vec![0xff]].concat());
        }),
        ("nonce length in a longer form", Payload, |parts| {
            parts.set("nonce", [vec![0x58, 5], b"nonce".to_vec()].concat());
        }),
        ("nonce a number", Payload, |parts| parts.set("nonce", unsigned(7))),
    ]);
}

#[test]
fn wrong_registers_are_refused() {
    use CheckName::Pcrs;

    all_refused(&[
        ("no register", Pcrs, |parts| parts.set("pcrs", pcr_map(0..0))),
        ("33 registers", Pcrs, |parts| parts.set("pcrs", pcr_map(0..33))),
        ("register 32", Pcrs, |parts| {
            let pairs = [pcr_pairs(0..3), pcr_pairs(32..33)].concat();
            parts.set("pcrs", map(&pairs));
        }),
        ("register 256", Pcrs, |parts| {
            let pairs = [pcr_pairs(0..3), vec![(unsigned(256), bytes(&[1; 48]))]].concat();
            parts.set("pcrs", map(&pairs));
        }),
        ("register -1", Pcrs, |parts| {
            let pairs = [pcr_pairs(0..3), vec![(vec![0x20], bytes(&[1; 48]))]].concat();
            parts.set("pcrs", map(&pairs));
        }),
        ("register by text", Pcrs, |parts| {
            let pairs = [pcr_pairs(0..3), vec![(text("3"), bytes(&[1; 48]))]].concat();
            parts.set("pcrs", map(&pairs));
        }),
        ("index in a longer form", Pcrs, |parts| {
            let pairs = [pcr_pairs(0..3), vec![(vec![0x18, 3], bytes(&[1; 48]))]].concat();
            parts.set("pcrs", map(&pairs));
        }),
        ("a register twice, equal", Pcrs, |parts| {
            let pairs = [pcr_pairs(0..3), pcr_pairs(2..3)].concat();
            parts.set("pcrs", map(&pairs));
        }),
        ("32 bytes", Pcrs, |parts| parts.set("pcrs", map(&[(unsigned(0), bytes(&[1; 32]))]))),
        ("64 bytes", Pcrs, |parts| parts.set("pcrs", map(&[(unsigned(0), bytes(&[1; 64]))]))),
        ("0 bytes", Pcrs, |parts| parts.set("pcrs", map(&[(unsigned(0), bytes(&[]))]))),
        ("49 bytes", Pcrs, |parts| parts.set("pcrs", map(&[(unsigned(0), bytes(&[1; 49]))]))),
        ("hex text", Pcrs, |parts| {
            parts.set("pcrs", map(&[(unsigned(0), text(&"01".repeat(48)))]));
        }),
        ("null", Pcrs, |parts| parts.set("pcrs", map(&[(unsigned(0), vec![0xf6])]))),
        ("pcrs is an array", Pcrs, |parts| parts.set("pcrs", array(&[bytes(&[1; 48])]))),
        ("pcrs is null", Pcrs, |parts| parts.set("pcrs", vec![0xf6])),
    ]);
}

#[test]
fn registers_in_debug_mode_are_refused_even_when_expected() {
    let chain = Chain::new(|_| {});
    for (values, measured) in [
        ([(0, 1), (1, 1), (2, 1), (3, 0)].as_slice(), true),
        (&[(0, 1)], true),
        (&[(0, 0), (1, 0), (2, 0), (3, 1)], false),
        (&[(0, 0)], false),
        (&[(0, 1), (1, 0), (2, 0)], true),
        (&[(1, 1)], true),
        (&[(1, 0), (2, 0)], false),
        (&[(0, 0), (1, 1), (2, 1)], false),
        (&[(3, 1), (4, 1)], false),
    ] {
        let pairs: Vec<_> = values
            .iter()
            .map(|(index, byte)| (unsigned((*index).into()), bytes(&[*byte; 48])))
            .collect();
        let document = document(&chain, |parts| parts.set("pcrs", map(&pairs)));
        for (allow_debug, passes) in [(false, measured), (true, true)] {
            let pcrs = values.iter().map(|(index, byte)| (*index, [*byte; 48])).collect();
            let expectations = Expectations { pcrs, allow_debug, ..Expectations::default() };
            let at = UnixTime::from_seconds(NOW);
            let verdict = verify(&document, chain.root(), at, &expectations);
            assert_eq!(verdict.is_ok(), passes, "{values:?} {verdict:?}");
            if let Err(rejection) = verdict {
                assert_eq!(rejection.check, CheckName::DebugMode);
            }
        }
    }
}

#[test]
fn unmet_expectations_are_refused() {
    let chain = Chain::new(|_| {});
    let document = document(&chain, |_| {});
    let verdict = |at: u64, expectations: Expectations| {
        verify(&document, chain.root(), UnixTime::from_seconds(at), &expectations)
            .map(drop)
            .map_err(|rejection| rejection.check)
    };
    let none = Expectations::default;
    let nonce = |nonce: &[u8]| Expectations { nonce: Some(nonce.to_vec()), ..none() };
    assert_eq!(verdict(NOW, nonce(b"nonce")), Ok(()));
    for other in [b"nonc".as_slice(), b"nonce2", b"Nonce", b""] {
        assert_eq!(verdict(NOW, nonce(other)), Err(CheckName::Nonce));
    }
    let key = |key: &[u8]| Expectations { public_key: Some(key.to_vec()), ..none() };
    assert_eq!(verdict(NOW, key(&[7; 32])), Ok(()));
    assert_eq!(verdict(NOW, key(&[8; 32])), Err(CheckName::PublicKey));
    // The document has null: not even empty user data are there.
    let user_data = Expectations { user_data: Some(vec![]), ..none() };
    assert_eq!(verdict(NOW, user_data), Err(CheckName::UserData));
    for (index, byte, met) in [(15, 16, true), (15, 17, false), (16, 17, false)] {
        let pcrs = Pcrs::from([(index, [byte; 48])]);
        let expected = if met { Ok(()) } else { Err(CheckName::Pcr(index)) };
        assert_eq!(verdict(NOW, Expectations { pcrs, ..none() }), expected);
    }
    // Half a second of the document's own is on its side.
    let aged = || Expectations { max_age: Some(Duration::from_secs(300)), ..none() };
    assert_eq!(verdict(NOW + 300, aged()), Ok(()));
    assert_eq!(verdict(NOW + 301, aged()), Err(CheckName::Age));
    assert_eq!(verdict(NOW + 7200, none()), Ok(()));
}

#[test]
fn an_attestation_says_what_the_document_says() {
    let chain = Chain::new(|_| {});
    let attestation = check(&document(&chain, |_| {}), &chain).unwrap();
    assert_eq!(attestation.certificate, chain.certificates[4]);
    assert_eq!(attestation.nonce.as_deref(), Some(b"nonce".as_slice()));
    assert_eq!(attestation.user_data, None);
}
