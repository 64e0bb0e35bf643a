//! What the parent's HTTP interface takes from the DIP service, and gives.

use encoding::Base64Url;
use serde::{Deserialize, Serialize};

/// Mints for an assignment: `POST`.
pub const GENERATE_TOKENS: &str = "/api/v1/generate-tokens";
/// Mints for a refresh: `POST`.
pub const REFRESH_TOKENS: &str = "/api/v1/refresh-tokens";
/// Attests: `GET`, with `nonce` in hexadecimal.
pub const ATTESTATION: &str = "/attestation";

/// The body of both requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintRequest {
    /// The DIP service's order, a compact JWS.
    pub order: String,
    /// The client's sealed request.
    pub sealed: Base64Url,
}

/// The body of both answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MintResponse {
    /// The enclave's signed grant; absent when it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The sealed answer, for the client.
    pub sealed: Base64Url,
}
