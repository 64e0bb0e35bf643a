//! The parent's routes, as they are limited, counted and documented.

use service::{Body, Class, HEALTH_ROUTE, METRICS_ROUTE, Problems, Route};
use utoipa::ToSchema;
use wire::http::{ATTESTATION, GENERATE_TOKENS, REFRESH_TOKENS};

/// What the parent's OpenAPI document says first.
pub const DESCRIPTION: &str =
    "The enclave's parent: carries sealed requests to the enclave and sealed answers back.";

/// Anybody may ask for attestation, and each costs the security module a signature: a short queue in front of the
/// few that are under way at a time. Address services attest once an hour, clients once a request.
const ATTEST: Class = Class::new("attest", 2_000, 2_000, 32);
/// What the DIP service orders.
const MINT: Class = Class::new("mint", 2_000, 2_000, 128);

const OF_MINTING: Problems = &[
    (403, "order-refused"),
    (409, "enclave-key-changed"),
    (422, "sealed-request-unopenable"),
    (503, "enclave-unavailable"),
];

/// The routes.
pub static ROUTES: [Route; 5] = [
    Route::get(
        ATTESTATION,
        "Has the enclave attest to itself for a nonce.",
        Body::json::<WrittenServed>(),
    )
    .asks(&[("nonce", "Hexadecimal, 512 bytes at most.", false)])
    .costs(ATTEST)
    .fails(&[&[(400, "nonce-malformed"), (503, "enclave-unavailable")]]),
    Route::post(
        GENERATE_TOKENS,
        "Has the enclave decide about an assignment that the DIP service orders.",
        Body::json::<WrittenMintResponse>(),
    )
    .takes(Body::json::<WrittenMintRequest>())
    .costs(MINT)
    .fails(&[OF_MINTING]),
    Route::post(
        REFRESH_TOKENS,
        "Has the enclave decide about an extension that the DIP service orders.",
        Body::json::<WrittenMintResponse>(),
    )
    .takes(Body::json::<WrittenMintRequest>())
    .costs(MINT)
    .fails(&[OF_MINTING]),
    HEALTH_ROUTE,
    METRICS_ROUTE,
];

/// [`attested::Served`] as it is written.
#[derive(ToSchema)]
#[schema(as = Served)]
#[expect(dead_code, reason = "a shape")]
struct WrittenServed {
    /// The attestation document, base64url.
    document: String,
    /// The boot configuration's exact bytes, base64url.
    boot_configuration: String,
    /// The public key by which the enclave mints.
    minting_key: WrittenKey,
}

/// A JWK (RFC 8037).
#[derive(ToSchema)]
#[schema(as = Jwk)]
#[expect(dead_code, reason = "a shape")]
struct WrittenKey {
    /// `OKP`
    kty: String,
    /// `Ed25519`
    crv: String,
    /// The key, base64url.
    x: String,
    /// Its thumbprint (RFC 7638).
    kid: Option<String>,
    /// `EdDSA`
    alg: Option<String>,
    /// `sig`
    r#use: Option<String>,
}

/// [`wire::http::MintRequest`] as it is written.
#[derive(ToSchema)]
#[schema(as = MintRequest)]
#[expect(dead_code, reason = "a shape")]
struct WrittenMintRequest {
    /// The DIP service's order, a compact JWS.
    order: String,
    /// The client's sealed request, base64url.
    sealed: String,
}

/// [`wire::http::MintResponse`] as it is written.
#[derive(ToSchema)]
#[schema(as = MintResponse)]
#[expect(dead_code, reason = "a shape")]
struct WrittenMintResponse {
    /// The enclave's signed grant; absent when it refused.
    grant: Option<String>,
    /// The sealed answer, base64url.
    sealed: String,
}
