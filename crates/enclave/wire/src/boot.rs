//! The boot configuration: whom the enclave believes.

use aws_lc_rs::digest::{Context, SHA256};
use epoch_keys::TreePin;
use jws::{KeySet, VerifyingKey};
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
}

impl BootConfiguration {
    /// The `user_data` of an enclave with this configuration and minting key:
    /// SHA-256(configuration || minting public key). The key is always 32 bytes, so the border is clear.
    #[must_use]
    pub fn user_data(configuration: &[u8], minting_key: &VerifyingKey) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(configuration);
        context.update(minting_key.bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}
