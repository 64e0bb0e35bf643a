//! The DIP service's messages.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/regions` | [`Regions`] |
//! | `POST /api/v1/assign` [`Assign`], with `Authorization: PrivateToken` | [`Assigned`]; without a token 401 and a challenge (RFC 9577) |
//! | `POST /api/v1/refresh` [`Refresh`] | [`Refreshed`] |
//! | `GET /.well-known/cloakroom-provider.json` | the provider's file, signed |
//! | `GET /.well-known/jwks.json` | the keys by which orders are verified |
//!
//! What operators ask is in [`operator`].
//!
//! A refusal by the enclave has the same form, status and size as a grant: it is inside the sealed answer.

pub mod operator;

use encoding::Base64Url;
use lease::{LeaseId, Region, TunnelEnd};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where regions are listed.
pub const REGIONS: &str = "/api/v1/regions";
/// Where a token is turned into a dedicated address.
pub const ASSIGN: &str = "/api/v1/assign";
/// Where a lease is extended.
pub const REFRESH: &str = "/api/v1/refresh";

/// Where clients fetch newer files of the provider's.
pub const PROVIDER: &str = "/.well-known/cloakroom-provider.json";

/// Where addresses are to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Regions {
    /// Regions with an address to give.
    #[schema(value_type = Vec<String>)]
    pub regions: Vec<Region>,
}

/// Wants a dedicated address. The token rides in the `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    /// Where. When the token has reserved an address already, that one is kept.
    #[schema(value_type = String)]
    pub region: Region,
    /// The request to the enclave, sealed.
    #[schema(value_type = String)]
    pub sealed: Base64Url,
}

/// An address is reserved, and leased if the sealed answer says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Assigned {
    /// The lease, for later refreshes.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// The enclave's answer, sealed.
    #[schema(value_type = String)]
    pub sealed: Base64Url,
    /// Where the address is served.
    pub gateway: GatewayInfo,
}

/// How to reach a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayInfo {
    /// Its control API's base URL.
    pub url: String,
    /// Where tunnels to it end.
    #[schema(value_type = WrittenTunnelEnd)]
    pub tunnel: TunnelEnd,
}

/// Wants a lease extended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// The request to the enclave, sealed.
    #[schema(value_type = String)]
    pub sealed: Base64Url,
}

/// The lease is extended if the sealed answer says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refreshed {
    /// The enclave's answer, sealed.
    #[schema(value_type = String)]
    pub sealed: Base64Url,
    /// Where the address is served now.
    pub gateway: GatewayInfo,
}

/// [`TunnelEnd`] as it is written.
#[derive(ToSchema)]
#[schema(as = TunnelEnd)]
#[expect(dead_code, reason = "a shape")]
struct WrittenTunnelEnd {
    /// The gateway's WireGuard key, base64.
    public_key: String,
    /// Where it takes WireGuard's datagrams: `IP:PORT`.
    endpoint: String,
    /// The device's address inside the tunnel.
    inner_address: String,
    /// The resolver's address inside the tunnel.
    resolver: String,
}
