//! The accounts service's messages.
//!
//! | request | who | answer |
//! |---|---|---|
//! | `POST /api/v1/accounts` [`CreateAccount`] | operator | [`CreatedAccount`] |
//! | `GET /api/v1/subscriptions/{id}` | operator | [`SubscriptionView`] |
//! | `POST /api/v1/subscriptions/{id}/refund` | operator | [`SubscriptionView`] |
//! | `POST /api/v1/subscriptions/{id}/reset` [`Reset`] | operator | [`SubscriptionView`] |
//! | `POST /api/v1/srt` | customer | [`MintedSrt`] |
//! | `POST /api/v1/account/number` [`ChangeNumber`] | customer | [`NumberChanged`] |
//!
//! Operators authenticate with `Authorization: Bearer` and the service's operator token; customers with
//! `Authorization: Bearer` and their account number. The keys by which SRTs are verified are at `/.well-known/jwks.json`.

mod number;
mod salt;

pub use number::{AccountNumber, ParseError};
pub use salt::AccountSalt;

use coarse::Hour;
use jws::Compact;
use receipt::{SubscriptionId, SubscriptionVersion};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where accounts are made.
pub const ACCOUNTS: &str = "/api/v1/accounts";
/// Where a customer gets an SRT.
pub const SRT: &str = "/api/v1/srt";
/// Where a customer changes the account's number.
pub const NUMBER: &str = "/api/v1/account/number";
/// Where an operator looks at a subscription.
pub const SUBSCRIPTION: &str = "/api/v1/subscriptions/{id}";
/// Where an operator refunds one.
pub const REFUND: &str = "/api/v1/subscriptions/{id}/refund";
/// Where an operator resets one.
pub const RESET: &str = "/api/v1/subscriptions/{id}/reset";

/// Makes an account with a subscription. With an account number that the caller chose at random, the same
/// request may be repeated: it makes one account.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// The account's number; a fresh one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub account: Option<AccountNumber>,
    /// What is paid for: `vpn.dip`, `vpn.access`; at least one, each once.
    pub entitlements: Vec<String>,
}

/// A new account. Its number is shown this once; the service keeps a hash.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedAccount {
    /// The account's number: the customer's one secret.
    #[schema(value_type = String)]
    pub account: AccountNumber,
    /// The subscription that came with it.
    #[schema(value_type = String)]
    pub subscription: SubscriptionId,
}

/// Raises a subscription's version by one.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// The version that is to end. When the subscription is already at the next one, nothing
    /// changes, so that the request may be repeated.
    #[schema(value_type = u32)]
    pub from: SubscriptionVersion,
}

/// A subscription, as an operator sees it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionView {
    /// Its id.
    #[schema(value_type = String)]
    pub subscription: SubscriptionId,
    /// Its version.
    #[schema(value_type = u32)]
    pub version: SubscriptionVersion,
    /// Whether it is paid for or refunded.
    pub state: SubscriptionState,
    /// What it covers.
    pub entitlements: Vec<String>,
}

/// Whether a subscription is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriptionState {
    /// Paid for: SRTs are minted.
    Active,
    /// Refunded: none are minted any more.
    Refunded,
}

/// A fresh SRT.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct MintedSrt {
    /// The token, a compact JWS.
    #[schema(value_type = String)]
    pub srt: Compact,
    /// The hour at which it ends.
    #[schema(value_type = u64)]
    pub ends: Hour,
    /// The account's salt (16 bytes): the same at each login.
    #[schema(value_type = String)]
    pub salt: AccountSalt,
}

/// Gives the account another number, which the caller chose at random. The former one is worth nothing from then on; whoever found it
/// with a lost device gets no more receipts. The same request may be repeated.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeNumber {
    /// The new number.
    #[schema(value_type = String)]
    pub account: AccountNumber,
}

/// The account has the new number.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NumberChanged {
    /// `true`
    pub changed: bool,
}
