//! Subscriptions, their receipt tokens (SRT) and the receipts of issuance.
//!
//! This crate names who: it belongs to the identity side of the wall, and nothing that reaches it may
//! name an address, but for the enclave and the client.

mod issuance;
mod srt;
mod subscription;

pub use issuance::{ISSUANCE_AUDIENCE, IssuanceReceipt};
pub use srt::{ENCLAVE_AUDIENCE, Entitlement, Entitlements, ISSUER_AUDIENCE, MAX_LIFE, Srt};
pub use subscription::{ParseError, SubscriptionId, SubscriptionVersion};

/// The `iss` of tokens that the accounts service signs.
pub const ACCOUNTS: &str = "accounts";

/// The `iss` of receipts that the blind token service signs.
pub const BLIND_TOKEN_SERVICE: &str = "blind-token-service";
