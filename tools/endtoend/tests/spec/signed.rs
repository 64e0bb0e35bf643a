//! Each kind of signed token.

use aws_lc_rs::digest::{SHA256, digest};
use coarse::Secret;
use jws::{Compact, SigningKey};
use lease::{Dat, DipDetails, ExitAddress, LeaseId, Region};
use minting::Drt;
use peer_key::{PeerKey, PeerSecret};
use privacy_pass::KeyId;
use receipt::{
    Entitlement, Entitlements, IssuanceReceipt, Srt, SubscriptionId, SubscriptionVersion,
};
use serde_json::{Value, json};

use crate::Outcome;
use crate::tokens::{Drawn, NOW};

/// The seed of each role's Ed25519 key.
pub(crate) const ACCOUNTS: u8 = 1;
pub(crate) const BLIND_TOKEN_SERVICE: u8 = 2;
pub(crate) const DIP_SERVICE: u8 = 3;
pub(crate) const ENCLAVE: u8 = 4;

pub(crate) fn key(seed: u8) -> Outcome<SigningKey> {
    Ok(SigningKey::from_seed(&Secret::new([seed; 32]))?)
}

pub(crate) fn device_secret() -> PeerSecret {
    PeerSecret::from_bytes(&Secret::new([5; 32]))
}

pub(crate) fn device() -> PeerKey {
    device_secret().public()
}

pub(crate) fn address() -> Outcome<ExitAddress> {
    Ok("203.0.113.7".parse()?)
}

pub(crate) fn region() -> Outcome<Region> {
    Ok("eu-1".parse()?)
}

pub(crate) const LEASE: LeaseId = LeaseId::from_bytes([0xaa; 16]);

fn subscription() -> SubscriptionId {
    SubscriptionId::from_bytes([0x55; 16])
}

pub(crate) fn srt() -> Outcome<Compact> {
    let version = SubscriptionVersion::new(1);
    let entitlements = Entitlements::new([Entitlement::DedicatedIp], version);
    Ok(Srt { subscription: subscription(), entitlements }.sign(&key(ACCOUNTS)?, NOW)?)
}

pub(crate) fn receipt(drawn: &Drawn) -> Outcome<Compact> {
    let mut blinded_hash = [0; 32];
    blinded_hash.copy_from_slice(digest(&SHA256, &drawn.blinded).as_ref());
    let receipt = IssuanceReceipt {
        subscription: subscription(),
        version: SubscriptionVersion::new(1),
        key: KeyId::of(&drawn.key),
        blinded_hash,
    };
    Ok(receipt.sign(&key(BLIND_TOKEN_SERVICE)?)?)
}

pub(crate) fn drt() -> Outcome<Compact> {
    let drt = Drt {
        subscription: subscription(),
        version: SubscriptionVersion::new(1),
        lease: LEASE,
        dip_details: DipDetails { ip: address()? },
        region: region()?,
    };
    Ok(drt.sign(&key(ENCLAVE)?, NOW)?)
}

pub(crate) fn examples(drawn: &Drawn) -> Outcome<Value> {
    let dat = Dat::new(address()?, region()?, &device());
    let jwk = |seed| -> Outcome<Value> {
        Ok(json!({"seed": hex::encode([seed; 32]), "jwk": key(seed)?.verifying_key()}))
    };
    Ok(json!({
        "now": NOW,
        "keys": {
            "accounts": jwk(ACCOUNTS)?,
            "blind_token_service": jwk(BLIND_TOKEN_SERVICE)?,
            "dip_service": jwk(DIP_SERVICE)?,
            "enclave": jwk(ENCLAVE)?,
        },
        "device": {"private": hex::encode([5; 32]), "public": device(), "jkt": device().thumbprint()},
        "srt": srt()?,
        "issuance_receipt": receipt(drawn)?,
        "dat": dat.sign(&key(ENCLAVE)?, NOW)?,
        "drt": drt()?,
    }))
}
