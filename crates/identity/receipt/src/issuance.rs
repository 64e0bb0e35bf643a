//! The receipt of issuance: to whom a blind signature was given.
//!
//! The blind token service signs it with its answer. It names the subscription and the blinded message,
//! which together say nothing of the token; only who holds the seed (the client, and the enclave that it
//! is sealed to) can show that a token came from that blinded message. Without it, one subscription could keep ten addresses alive.

use jws::{Claims, Compact, Expect, KeySet, SigningKey};
use privacy_pass::KeyId;
use serde::{Deserialize, Serialize};

use crate::{BLIND_TOKEN_SERVICE, SubscriptionId, SubscriptionVersion};

/// The `aud` of a receipt of issuance.
pub const ISSUANCE_AUDIENCE: &str = "enclave";

/// The claims of a receipt of issuance. It has no end: the token it belongs to does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuanceReceipt {
    /// Who drew the token.
    #[serde(rename = "sub")]
    pub subscription: SubscriptionId,
    /// In which version.
    #[serde(rename = "did")]
    pub version: SubscriptionVersion,
    /// Under which key.
    #[serde(rename = "key")]
    pub key: KeyId,
    /// SHA-256 of the blinded message.
    #[serde(rename = "blinded", with = "hex::serde")]
    pub blinded_hash: [u8; 32],
}

impl Claims for IssuanceReceipt {
    const TYPE: &'static str = "issuance-receipt+jwt";
}

impl IssuanceReceipt {
    /// Signs the receipt.
    ///
    /// # Errors
    /// As [`jws::sign`].
    pub fn sign(&self, key: &SigningKey) -> Result<Compact, jws::Error> {
        jws::sign(key, BLIND_TOKEN_SERVICE, &[ISSUANCE_AUDIENCE], None, self)
    }

    /// Checks a receipt.
    ///
    /// # Errors
    /// As [`jws::verify`].
    pub fn verify(token: &str, keys: &KeySet) -> Result<Self, jws::Error> {
        let expect = Expect { issuer: BLIND_TOKEN_SERVICE, audience: ISSUANCE_AUDIENCE };
        jws::verify(token, keys, expect, coarse::UnixTime::from_seconds(0))
    }
}
