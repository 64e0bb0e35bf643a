//! The blind token service's messages.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/public-key?purpose=NAME[&epoch=N]` | [`PublishedKey`]; the present epoch's without `epoch` |
//! | `POST /api/v1/blind-sign` [`BlindSign`] | [`BlindSigned`] |
//! | `GET /.well-known/private-token-issuer-directory` | RFC 9578 section 4 |
//! | `POST /token-request` (`application/private-token-request`) | `application/private-token-response` (RFC 9578 section 5.3) |
//!
//! The keys by which receipts of issuance are verified are at `/.well-known/jwks.json`.
//!
//! Whoever draws a token shows an SRT as `Authorization: Bearer`. Both ways of drawing return the receipt of issuance in the
//! header [`ISSUANCE_RECEIPT`].

use coarse::Epoch;
use encoding::Base64Url;
pub use epoch_keys::PublishedKey;
use epoch_keys::Purpose;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the keys are.
pub const PUBLIC_KEY: &str = "/api/v1/public-key";
/// Where a blinded message is signed.
pub const BLIND_SIGN: &str = "/api/v1/blind-sign";
/// Where Privacy Pass clients look for the issuer's keys.
pub const DIRECTORY: &str = "/.well-known/private-token-issuer-directory";
/// Where Privacy Pass clients send token requests.
pub const TOKEN_REQUEST: &str = "/token-request";
/// The response header with the receipt of issuance, a compact JWS.
pub const ISSUANCE_RECEIPT: &str = "cloakroom-issuance-receipt";

/// Which key is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyQuery {
    /// What for.
    pub purpose: Purpose,
    /// For which epoch; the present one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// A blinded message to be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlindSign {
    /// What for.
    #[schema(value_type = String)]
    pub purpose: Purpose,
    /// Under which epoch's key.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
    /// The blinded message (256 bytes, RFC 9474 section 4.2).
    #[schema(value_type = String)]
    pub blinded_message: Base64Url,
}

/// The blind signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlindSigned {
    /// The signature over the blinded message (256 bytes, RFC 9474 section 4.3).
    #[schema(value_type = String)]
    pub blind_signature: Base64Url,
}
