use std::convert::Infallible;

use coarse::{Hour, system_rng};
use dip_api::GatewayInfo;
use jws::{Compact, VerifyingKey};
use lease::{LeaseId, TunnelEnd};
use peer_key::PeerSecret;
use proptest::prelude::*;
use rand_core::{TryCryptoRng, TryRng};

use super::*;

/// "Random" bytes that are all one value.
struct Always(u8);

impl TryRng for Always {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}
impl TryCryptoRng for Always {}

fn keys(root: u8) -> BackupKeys {
    BackupKeys::from_root(Secret::new([root; 32])).unwrap()
}

fn contents(drt: &str) -> Contents {
    Contents {
        signer: VerifyingKey::from_bytes([7; 32]).id().clone(),
        lease: LeaseId::from_bytes([0xaa; 16]),
        region: "eu-1".parse().unwrap(),
        ip: "2001:db8::7".parse().unwrap(),
        drt: Compact::new(drt.to_owned()),
        drt_ends: Hour::new(500_100),
        gateway: GatewayInfo {
            url: "http://127.0.0.1:3006".into(),
            tunnel: TunnelEnd {
                public_key: PeerSecret::from_bytes(&Secret::new([5; 32])).public(),
                endpoint: "[2001:db8::1]:51820".parse().unwrap(),
                inner_address: "100.64.0.2".parse().unwrap(),
                resolver: "100.64.0.1".parse().unwrap(),
            },
        },
    }
}

/// Seals any bytes as the plain text.
fn seal_plain(keys: &BackupKeys, mut plain: Vec<u8>) -> Blob {
    let nonce = Nonce::assume_unique_for_key([3; NONCE_LEN]);
    let (cipher, aad) = (keys.cipher().unwrap(), Aad::from(keys.bound()));
    let tag = cipher.seal_in_place_separate_tag(nonce, aad, &mut plain).unwrap();
    Blob::new([&[3; NONCE_LEN][..], &plain, tag.as_ref()].concat()).unwrap()
}

/// Computed by `testdata/access-code/derive.mjs`.
#[test]
fn codes_and_backups_computed_elsewhere_are_ours() {
    let file = include_str!("../../../../testdata/access-code/vectors.json");
    let file: serde_json::Value = serde_json::from_str(file).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let bytes = |name: &str| hex::decode(text(name)).unwrap();
        let code = AccessCode::enter(text("code")).unwrap();
        assert_eq!(code.canonical(), text("canonical").as_bytes());
        let salt = AccountSalt::from_bytes(bytes("salt").try_into().unwrap());
        let keys = BackupKeys::derive(&code, &salt).unwrap();
        assert_eq!(keys.root().expose(), &*bytes("root"));
        assert_eq!(keys.seal.expose(), &*bytes("key"));
        assert_eq!(keys.write_key.bytes(), &*bytes("write_key"));
        assert_eq!(keys.locator().bytes(), &*bytes("locator"));
        let blob = Blob::new(bytes("blob")).unwrap();
        let opened = keys.open(&blob).unwrap();
        assert_eq!(serde_json::to_string(&opened).unwrap(), text("contents"));
        let sealed = keys.seal(&opened, &mut Always(bytes("nonce")[0])).unwrap();
        assert_eq!(hex::encode(sealed.bytes()), text("blob"));
        let (write, remove) = (keys.write(sealed), keys.remove());
        assert_eq!(write.signature.bytes(), &*bytes("write_signature"));
        assert_eq!(remove.signature.bytes(), &*bytes("remove_signature"));
    }
}

#[test]
fn another_code_or_salt_leads_elsewhere() {
    let code = |text: &str| AccessCode::enter(text).unwrap();
    let salt = |byte| AccountSalt::from_bytes([byte; 16]);
    let derived = |code: &AccessCode, byte| BackupKeys::derive(code, &salt(byte)).unwrap();
    let (one, same) = (derived(&code("one"), 1), derived(&code(" one "), 1));
    assert!(one.same_as(&same) && one.locator() == same.locator());
    let blob = one.seal(&contents("a.b.c"), &mut system_rng()).unwrap();
    for other in [derived(&code("two"), 1), derived(&code("one"), 2)] {
        assert!(!one.same_as(&other) && one.locator() != other.locator());
        assert!(matches!(other.open(&blob), Err(OpenError::Unopenable)));
    }
}

#[test]
fn backups_are_of_one_size_and_never_the_same_twice() {
    let keys = keys(1);
    let mut seen = std::collections::BTreeSet::new();
    for drt in ["a.b.c", &"x".repeat(2048)] {
        for _ in 0..2 {
            let blob = keys.seal(&contents(drt), &mut system_rng()).unwrap();
            assert!(keys.open(&blob).unwrap() == contents(drt));
            assert!(seen.insert(blob.bytes().to_vec()));
        }
    }
    assert!(matches!(keys.seal(&contents(&"x".repeat(2800)), &mut system_rng()), Err(SealError)));
}

#[test]
fn what_is_no_backup_of_this_form_is_refused() {
    let keys = keys(1);
    let json = contents("a.b.c").encode().unwrap();
    let good = pad(&json).unwrap();
    assert!(keys.open(&seal_plain(&keys, good.to_vec())).is_ok());
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut plain = good.to_vec();
        change(&mut plain);
        plain.resize(PLAIN, 0);
        keys.open(&seal_plain(&keys, plain)).map(|_| ())
    };
    for (what, refused) in [
        ("another version", refused(&|plain| plain[0] = 2)),
        ("a length beyond the end", refused(&|plain| plain[1] = 0xff)),
        ("a shorter length", refused(&|plain| plain[2] ^= 1)),
        ("padding that is not zero", refused(&|plain| plain[PLAIN - 1] = 1)),
        ("no JSON", refused(&|plain| plain[PREFIX] = b'x')),
        ("a member more", refused(&|plain| *plain = more(&json).to_vec())),
        ("bytes that are no text", refused(&|plain| plain[PREFIX + 12] = 0xff)),
        ("nothing", refused(&|plain| plain.fill(0))),
    ] {
        assert_eq!(refused, Err(OpenError::Newer), "{what}");
    }
}

/// The contents with a member that nobody knows.
fn more(json: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut value: serde_json::Value = serde_json::from_slice(json).unwrap();
    value["more"] = 1.into();
    pad(value.to_string().as_bytes()).unwrap()
}

#[test]
fn backups_are_kept_as_long_as_refresh_tokens_live() {
    assert_eq!(backup_api::LIFE, lease::DRT_LIFE);
}

#[test]
fn requests_are_signed_by_the_code() {
    let keys = keys(1);
    let blob = keys.seal(&contents("a.b.c"), &mut system_rng()).unwrap();
    let (locator, kept) = keys.write(blob.clone()).verify().unwrap();
    assert!(locator == *keys.locator() && kept == blob);
    assert!(keys.remove().verify().unwrap() == *keys.locator());
}

proptest! {
    #[test]
    fn a_backup_that_was_touched_does_not_open(at in 0..BLOB_SIZE, bit in 0_u8..8) {
        let keys = keys(1);
        let blob = keys.seal(&contents("a.b.c"), &mut system_rng()).unwrap();
        let mut bytes = blob.bytes().to_vec();
        bytes[at] ^= 1 << bit;
        let opened = keys.open(&Blob::new(bytes).unwrap());
        prop_assert!(matches!(opened, Err(OpenError::Unopenable)));
    }

    #[test]
    fn a_backup_opens_in_its_own_place_only(root in 2_u8..) {
        let blob = keys(1).seal(&contents("a.b.c"), &mut system_rng()).unwrap();
        prop_assert!(matches!(keys(root).open(&blob), Err(OpenError::Unopenable)));
        // Also for somebody who has the key, but another place.
        let moved = BackupKeys { locator: *keys(root).locator(), ..keys(1) };
        prop_assert!(matches!(moved.open(&blob), Err(OpenError::Unopenable)));
    }

    #[test]
    fn what_is_sealed_comes_back(drt in "[A-Za-z0-9._-]{0,2048}", hour in any::<u64>()) {
        let keys = keys(1);
        let kept = Contents { drt_ends: Hour::new(hour), ..contents(&drt) };
        let blob = keys.seal(&kept, &mut system_rng()).unwrap();
        prop_assert!(keys.open(&blob).unwrap() == kept);
    }
}
