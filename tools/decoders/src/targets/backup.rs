//! Access Codes as people type them, what is inside a sealed backup, and the backup service's bodies. The first byte says which.

use std::sync::LazyLock;

use access_code::{AccessCode, BackupKeys, Contents, OpenError};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use backup_api::{BLOB_SIZE, Blob, Found, Read, Remove, Removed, Write, Written};
use coarse::Secret;
use dip_api::GatewayInfo;
use serde_json::{Value, json};

use super::http_bodies::one;
use crate::fixture::{self, Repeatable};
use crate::input::{byte, tagged};

const ROOT: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [3; 12];
const PLAIN: usize = BLOB_SIZE - 12 - 16;

static KEYS: LazyLock<BackupKeys> =
    LazyLock::new(|| BackupKeys::from_root(Secret::new(ROOT)).expect("every root has keys"));

/// Reads one of them.
pub(crate) fn check(input: &[u8]) {
    let Some((kind, rest)) = byte(input) else { return };
    match kind % 10 {
        0 => entered(rest),
        1 => chosen(rest),
        2 => inside(rest),
        3 => plain(rest),
        4 => signed(rest),
        5 => one::<Read>(rest),
        6 => unsigned(rest),
        7 => one::<Remove>(rest),
        8 => one::<Found>(rest),
        _ => {
            one::<Written>(rest);
            one::<Removed>(rest);
        }
    }
}

/// What is shown of a code leads to the code; a model of the form with ASCII alone agrees.
fn entered(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let entered = AccessCode::enter(text);
    if let Ok(code) = &entered {
        let shown = code.to_text();
        let again = AccessCode::enter(&shown).expect("it was shown");
        assert_eq!(*again.to_text(), *shown);
    }
    if text.len() > 128 || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return;
    }
    let symbols: Vec<u8> =
        text.to_ascii_uppercase().bytes().filter(|byte| !matches!(byte, b' ' | b'-')).collect();
    let form = symbols.len() == 20 && symbols.iter().all(u8::is_ascii_alphanumeric);
    let words = text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match entered {
        Ok(code) if form => assert_eq!(code.to_text().replace('-', "").as_bytes(), sound(&symbols)),
        Ok(code) => assert_eq!(*code.to_text(), words),
        Err(_) if form => assert_ne!(sound(&symbols), read(&symbols)),
        Err(_) => assert!(words.is_empty()),
    }
}

/// Symbols as they are meant.
fn read(symbols: &[u8]) -> Vec<u8> {
    let meant = |symbol: &u8| match symbol {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => *other,
    };
    symbols.iter().map(meant).collect()
}

/// The first 16 of them, and what checks those; U is nobody's symbol.
fn sound(symbols: &[u8]) -> Vec<u8> {
    const ALL: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut code = read(symbols);
    if code.contains(&b'U') {
        return Vec::new();
    }
    code.truncate(16);
    let hash = digest(&SHA256, &[b"cloakroom v1 access code", code.as_slice()].concat());
    let bits: String = hash.as_ref().iter().map(|byte| format!("{byte:08b}")).collect();
    for place in 0..4 {
        let symbol = usize::from_str_radix(&bits[5 * place..5 * place + 5], 2).expect("bits");
        code.push(ALL[symbol]);
    }
    code
}

/// What is taken as one's own is what is entered later; what is refused isn't repeated.
fn chosen(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match AccessCode::choose(text) {
        Ok(code) => {
            let entered = AccessCode::enter(text).expect("it was chosen");
            assert_eq!(*entered.to_text(), *code.to_text());
            assert!(code.to_text().chars().count() >= 12);
        }
        Err(error) => {
            let said = error.to_string();
            assert!(text.trim().len() < 24 || !said.contains(text.trim()), "it quotes the code");
        }
    }
}

/// Contents behind the seal: taken exactly when they are JSON of the one shape, and sealed again they are the same.
fn inside(contents: &[u8]) {
    if contents.len() + 3 > PLAIN {
        return;
    }
    let mut plain = vec![1];
    plain.extend(u16::try_from(contents.len()).expect("it fits").to_be_bytes());
    plain.extend(contents);
    plain.resize(PLAIN, 0);
    let opened = KEYS.open(&sealed(&plain));
    let json = std::str::from_utf8(contents).ok().and_then(|text| serde_json::from_str(text).ok());
    match (opened, json) {
        (Ok(opened), Some(json)) => {
            let model: Contents = json;
            assert!(opened == model);
            let again = KEYS.seal(&opened, &mut Repeatable::new(5));
            if let Ok(again) = again {
                assert!(KEYS.open(&again).is_ok_and(|again| again == opened));
            }
        }
        (Err(OpenError::Newer), None) => {}
        (opened, _) => panic!("{:?}", opened.map(|_| ()).err()),
    }
}

/// Anything behind the seal: version, length and zeros are as a model says.
fn plain(input: &[u8]) {
    let mut plain = input.to_vec();
    plain.resize(PLAIN, 0);
    let end = 3 + usize::from(u16::from_be_bytes([plain[1], plain[2]]));
    let framed = plain[0] == 1 && end <= PLAIN && plain[end..].iter().all(|byte| *byte == 0);
    let json = framed
        && std::str::from_utf8(&plain[3..end])
            .is_ok_and(|text| serde_json::from_str::<Contents>(text).is_ok());
    match KEYS.open(&sealed(&plain)) {
        Ok(_) => assert!(json),
        Err(error) => assert!(!json && error == OpenError::Newer),
    }
    // As a blob it is nobody's.
    let mut blob = input.to_vec();
    blob.resize(BLOB_SIZE, 0);
    let blob = Blob::new(blob).expect("of its size");
    assert!(matches!(KEYS.open(&blob), Err(OpenError::Unopenable)));
}

/// Any bytes, signed: they are for the key's own place, and no other bit may differ.
fn signed(input: &[u8]) {
    let (flip, rest) = input.split_first_chunk::<2>().unwrap_or((&[0, 0], &[]));
    let mut bytes = rest.to_vec();
    bytes.resize(BLOB_SIZE, 0);
    let blob = Blob::new(bytes.clone()).expect("of its size");
    let write = KEYS.write(blob);
    let (write_key, signature) = (write.write_key, write.signature);
    let (locator, kept) = write.verify().expect("it was signed");
    assert!(locator == *KEYS.locator() && kept.bytes()[..] == bytes);
    let at = usize::from(u16::from_be_bytes(*flip)) % (8 * BLOB_SIZE);
    bytes[at / 8] ^= 1 << (at % 8);
    let blob = Blob::new(bytes).expect("of its size");
    assert!(Write { write_key, blob, signature }.verify().is_err());
    assert!(Remove { write_key, signature }.verify().is_err());
}

/// A write that somebody sent: whatever it says, nothing is kept that wasn't signed for.
fn unsigned(body: &[u8]) {
    one::<Write>(body);
    if let Ok(write) = serde_json::from_slice::<Write>(body) {
        let blob = write.blob.bytes().to_vec();
        if let Ok((locator, kept)) = write.verify() {
            assert!(kept.bytes()[..] == blob);
            assert!(locator != *KEYS.locator() || blob == vec![9; BLOB_SIZE], "nobody signed it");
        }
    }
}

/// A backup with this plain text, by the steps of docs/spec/backup.md written down once more.
fn sealed(plain: &[u8]) -> Blob {
    let prk = Salt::new(HKDF_SHA256, &[]).extract(&ROOT);
    let mut key = [0; 32];
    let okm = prk.expand(&[b"cloakroom v1 backup key"], HKDF_SHA256).expect("a block");
    okm.fill(&mut key).expect("a block");
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key"));
    let bound = [b"cloakroom v1 backup", &KEYS.locator().bytes()[..]].concat();
    let mut sealed = plain.to_vec();
    cipher
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(NONCE),
            Aad::from(bound),
            &mut sealed,
        )
        .expect("it is sealed");
    Blob::new([&NONCE[..], &sealed].concat()).expect("of its size")
}

/// Contents as they are backed up.
pub(crate) fn contents() -> Value {
    let gateway: GatewayInfo = serde_json::from_value(json!({
        "url": "http://127.0.0.1:3006",
        "tunnel": {
            "public_key": fixture::device(),
            "endpoint": "[2001:db8::1]:51820",
            "inner_address": "100.64.0.2",
            "resolver": "100.64.0.1",
        },
    }))
    .expect("a gateway");
    json!({
        "signer": "UDDReOZl1ipXAfp9wYsm13sDBMK5og--QWdBjzuf6o4",
        "lease": fixture::lease_id(),
        "region": fixture::region(),
        "ip": fixture::address(),
        "drt": "a.b.c",
        "drt_ends": 500_100,
        "gateway": gateway,
    })
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let contents = contents().to_string();
    let mut framed = vec![1];
    framed.extend(u16::try_from(contents.len()).expect("it fits").to_be_bytes());
    framed.extend(contents.as_bytes());
    let blob = Blob::new(vec![9; BLOB_SIZE]).expect("of its size");
    vec![
        tagged(0, "7K3QF-9XMRT-02ABC-DWQ2F"),
        tagged(0, "7k3qf 9xmrt o2abc dwq2f"),
        tagged(0, "7K3QF9XMRT02ABCDWQ2G"),
        tagged(0, "the \u{fb01}nch\u{a0}\u{ff57}ore  a be\u{301}ret"),
        tagged(1, "eleven blue herons, none of them late"),
        tagged(1, "password1234"),
        tagged(2, &contents),
        tagged(2, contents.replace('}', ",\"more\":1}")),
        tagged(3, &framed),
        tagged(3, [2, 0, 0]),
        tagged(4, [0, 9, 1, 2, 3]),
        tagged(5, json!({ "locator": KEYS.locator() }).to_string()),
        tagged(6, json!(KEYS.write(blob.clone())).to_string()),
        tagged(7, json!(KEYS.remove()).to_string()),
        tagged(8, json!({ "blob": blob }).to_string()),
        tagged(9, json!({ "written": true }).to_string()),
        tagged(9, json!({ "removed": true }).to_string()),
    ]
}
