//! The boot configuration: whom the enclave believes.

use aws_lc_rs::digest::{Context, SHA256};
use epoch_keys::TreePin;
use jws::{KeyId, KeySet, VerifyingKey};
use serde::{Deserialize, Serialize};

/// The keys and names that an enclave is booted with. They decide whose subscriptions and whose orders it believes, so
/// they are measured: [`user_data`](Self::user_data) is part of every attestation.
///
/// What is hashed and served are the exact bytes of one JSON text; two texts with the same content
/// are two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootConfiguration {
    /// Keys that sign subscription receipts (SRT).
    pub srt_keys: KeySet,
    /// Keys by which the blind token service signs receipts of issuance.
    pub issuance_keys: KeySet,
    /// Keys by which the DIP service signs orders.
    pub order_keys: KeySet,
    /// The Privacy Pass issuer's name.
    pub issuer_name: String,
    /// The origin that `dedicated-ip` tokens are made for.
    pub origin: String,
    /// The tree of `dedicated-ip` keys.
    pub tree: TreePin,
    /// Minting keys that got into wrong hands: an enclave with this configuration neither mints with them nor believes what they signed,
    /// even if its parent gives them back to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_minting_keys: Vec<KeyId>,
}

impl BootConfiguration {
    /// The `user_data` of an enclave with this configuration and these minting keys: SHA-256(configuration || minting public key ||
    /// former minting public keys). Each key is 32 bytes and the configuration is one JSON object that the asker knows, so the borders are
    /// clear.
    #[must_use]
    pub fn user_data(
        configuration: &[u8],
        minting_key: &VerifyingKey,
        former: &[VerifyingKey],
    ) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(configuration);
        context.update(minting_key.bytes());
        for key in former {
            context.update(key.bytes());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}
