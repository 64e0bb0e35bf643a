//! Keys, a clock and randomness that are the same in every run.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use blind_rsa::{AwsLcSigner, RawSigner};
use coarse::{Epoch, Secret, UnixTime};
use encoding::Base64Url;
use epoch_keys::{CommitmentTree, PublishedKey, Purpose, TreePin};
use jws::{Compact, KeySet, SigningKey};
use lease::{ExitAddress, LeaseId, Region};
use minting::AssignRequest;
use peer_key::{PeerKey, PeerSecret};
use privacy_pass::{ChallengeDigest, KeyId, PendingToken, Token, TokenResponse, TokenSeed};
use rand_core::{TryCryptoRng, TryRng};
use receipt::{
    Entitlement, Entitlements, IssuanceReceipt, Srt, SubscriptionId, SubscriptionVersion,
};
use wire::BootConfiguration;

/// 2026-11-20T23:42:17Z
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_795_218_137);
/// The epoch of `dedicated-ip` that it lies in.
pub(crate) const EPOCH: Epoch = Epoch::new(2_968);
pub(crate) const ISSUER: &str = "issuer.example";
pub(crate) const ORIGIN: &str = "dip.example";

/// Whose signing key.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Accounts = 1,
    Issuance,
    Orders,
    Minting,
    Provider,
}

/// A role's key.
pub(crate) fn key(role: Role) -> SigningKey {
    SigningKey::from_seed(&Secret::new([role as u8; 32])).expect("every seed is a key")
}

/// The set that holds a role's key alone.
pub(crate) fn keys(role: Role) -> KeySet {
    KeySet::from(key(role).verifying_key())
}

/// A compact JWS with any header and any payload, signed by a role's key.
pub(crate) fn jws(role: Role, header: &[u8], payload: &[u8]) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[role as u8; 32]).expect("every seed is a key");
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = pair.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The header that tokens of a type have when a role's key signs them.
pub(crate) fn header(role: Role, kind: &str) -> String {
    let id = key(role).verifying_key().id().clone();
    format!(r#"{{"alg":"EdDSA","kid":"{id}","typ":"{kind}"}}"#)
}

/// The payload of a compact JWS.
pub(crate) fn payload(token: &Compact) -> Vec<u8> {
    let payload = token.as_str().split('.').nth(1).expect("a JWS has three parts");
    URL_SAFE_NO_PAD.decode(payload).expect("a JWS is base64url")
}

/// A file of `testdata`.
pub(crate) fn testdata(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a directory of `testdata`, by name.
pub(crate) fn testdata_files(directory: &str) -> Vec<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(directory);
    let entries = std::fs::read_dir(path).expect("testdata is there");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    names.sort();
    names.iter().map(|path| std::fs::read(path).expect("it can be read")).collect()
}

/// The RSA key of RFC 9578's test vectors: the one key of [`EPOCH`].
pub(crate) static SIGNER: LazyLock<AwsLcSigner> = LazyLock::new(|| {
    let vectors = testdata("blind-rsa/rfc9578_b2_blind_rsa.json");
    let vectors: serde_json::Value = serde_json::from_slice(&vectors).expect("JSON");
    let pem = vectors["vectors"][0]["skS"].as_str().expect("a key in hex");
    let pem = String::from_utf8(hex::decode(pem).expect("hex")).expect("PEM");
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    AwsLcSigner::from_pkcs8(&STANDARD.decode(text).expect("base64")).expect("a key")
});

static TREE: LazyLock<CommitmentTree> = LazyLock::new(|| {
    let spkis = [SIGNER.public_key().spki()];
    CommitmentTree::build(Purpose::DedicatedIp, EPOCH, &spkis).expect("one key fits")
});

/// The tree that commits to the one key.
pub(crate) fn pin() -> TreePin {
    TreePin { purpose: Purpose::DedicatedIp, first_epoch: EPOCH, root: TREE.root() }
}

/// The one key as it is published.
pub(crate) fn published() -> PublishedKey {
    PublishedKey {
        purpose: Purpose::DedicatedIp,
        epoch: EPOCH,
        public_key: Base64Url(SIGNER.public_key().spki()),
        proof: TREE.proof(EPOCH).expect("the tree has the epoch"),
    }
}

/// What an enclave that believes all roles is booted with.
pub(crate) fn boot() -> BootConfiguration {
    BootConfiguration {
        srt_keys: keys(Role::Accounts),
        issuance_keys: keys(Role::Issuance),
        order_keys: keys(Role::Orders),
        issuer_name: ISSUER.into(),
        origin: ORIGIN.into(),
        tree: pin(),
        refused_minting_keys: Vec::new(),
    }
}

/// The challenge of [`EPOCH`].
pub(crate) fn challenge() -> ChallengeDigest {
    epoch_keys::challenge(ISSUER, ORIGIN, Purpose::DedicatedIp, EPOCH).expect("names").digest()
}

/// A token on its way.
pub(crate) fn pending() -> PendingToken {
    let seed = TokenSeed::from_bytes([7; 32]);
    PendingToken::new(SIGNER.public_key(), &challenge(), &seed).expect("a sound key")
}

/// The issuer's answer to [`pending`].
pub(crate) fn answered() -> TokenResponse {
    let signed = SIGNER.sign_blinded(pending().request().blinded_message()).expect("in range");
    TokenResponse::decode(&signed).expect("256 bytes")
}

/// The token that comes of both.
pub(crate) static TOKEN: LazyLock<Token> =
    LazyLock::new(|| pending().finalize(&answered()).expect("the issuer's own answer"));

pub(crate) fn subscription() -> SubscriptionId {
    SubscriptionId::from_bytes([0x51; 16])
}

pub(crate) fn srt_claims() -> Srt {
    Srt {
        subscription: subscription(),
        entitlements: Entitlements::new(Entitlement::ALL, SubscriptionVersion::new(3)),
    }
}

pub(crate) fn srt() -> Compact {
    srt_claims().sign(&key(Role::Accounts), NOW).expect("claims of a receipt")
}

pub(crate) fn receipt_claims() -> IssuanceReceipt {
    let blinded = digest(&SHA256, pending().request().blinded_message());
    IssuanceReceipt {
        subscription: subscription(),
        version: SubscriptionVersion::new(3),
        key: KeyId::of(SIGNER.public_key()),
        blinded_hash: blinded.as_ref().try_into().expect("32 bytes"),
    }
}

pub(crate) fn receipt() -> Compact {
    receipt_claims().sign(&key(Role::Issuance)).expect("claims of a receipt")
}

pub(crate) fn device_secret() -> PeerSecret {
    PeerSecret::from_bytes(&Secret::new([9; 32]))
}

pub(crate) fn device() -> PeerKey {
    device_secret().public()
}

pub(crate) fn lease_id() -> LeaseId {
    LeaseId::from_bytes([0xaa; 16])
}

pub(crate) fn address() -> ExitAddress {
    "203.0.113.7".parse().expect("an address")
}

pub(crate) fn region() -> Region {
    "eu-1".parse().expect("a region")
}

/// A request for an assignment that is all right.
pub(crate) fn assign_request() -> AssignRequest {
    AssignRequest {
        srt: srt(),
        receipt: receipt(),
        seed: Secret::new([7; 32]),
        token: TOKEN.clone(),
        key: published(),
        device: device(),
        device_proof: None,
    }
}

/// Randomness that is the same each time: the BLAKE3 stream of a number.
pub(crate) struct Repeatable(blake3::OutputReader);

impl Repeatable {
    pub(crate) fn new(number: u8) -> Self {
        Self(blake3::Hasher::new().update(&[number]).finalize_xof())
    }
}

impl TryRng for Repeatable {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Repeatable {}
