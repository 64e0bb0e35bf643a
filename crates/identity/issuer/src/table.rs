//! The service's routes, as they are limited, counted and documented.

use issuer_api::{
    BLIND_SIGN, BlindSign, BlindSigned, DIRECTORY, ISSUANCE_RECEIPT, PUBLIC_KEY, TOKEN_REQUEST,
};
use key_ring::{JWKS, JWKS_TYPE};
use privacy_pass::{MEDIA_TYPE_DIRECTORY, MEDIA_TYPE_REQUEST, MEDIA_TYPE_RESPONSE};
use service::{Access, Body, Class, HEALTH_ROUTE, METRICS_ROUTE, Problems, Route};
use utoipa::ToSchema;

/// What the service's OpenAPI document says first.
pub const DESCRIPTION: &str =
    "The blind token service: signs what it can't see. Knows no token and no address.";

const BY_SRT: Access = Access::Bearer("An SRT: a receipt of the customer's subscription.");
const RECEIPT: &[(&str, &str)] = &[(ISSUANCE_RECEIPT, "The receipt of issuance, a compact JWS.")];

/// What both ways of drawing refuse.
const REFUSALS: Problems = &[
    (401, "srt-expired"),
    (401, "srt-refused"),
    (403, "purpose-not-sold"),
    (403, "purpose-not-covered"),
    (409, "subscription-version-superseded"),
    (409, "draw-limit-reached"),
    (422, "epoch-not-open"),
    (422, "blinded-message-out-of-range"),
    (503, "store-failed"),
];

/// Signing is what this service is for: the limit is what many cores do, and how many signatures wait is limited besides.
const SIGN: Class = Class::new("sign", 20_000, 20_000, 256);

/// The routes.
pub static ROUTES: [Route; 7] = [
    Route::get(
        PUBLIC_KEY,
        "Gives an epoch's public key and its proof.",
        Body::json::<WrittenPublishedKey>(),
    )
    .asks(&[
        ("purpose", "What tokens under the key are good for.", true),
        ("epoch", "The epoch's number; the present one when absent.", false),
    ])
    .fails(&[&[(400, "key-query-malformed"), (404, "key-unknown")]]),
    Route::post(BLIND_SIGN, "Signs a blinded message.", Body::json::<BlindSigned>())
        .takes(Body::json::<BlindSign>())
        .with(BY_SRT)
        .costs(SIGN)
        .heads(RECEIPT)
        .fails(&[REFUSALS, &[(404, "key-unknown")]]),
    Route::get(
        DIRECTORY,
        "Lists the keys that sign now (RFC 9578 section 4).",
        Body::json_as::<WrittenDirectory>(MEDIA_TYPE_DIRECTORY),
    ),
    Route::post(
        TOKEN_REQUEST,
        "Issues a token of type 0x0002 (RFC 9578 section 6).",
        Body::bytes(MEDIA_TYPE_RESPONSE),
    )
    .takes(Body::bytes(MEDIA_TYPE_REQUEST))
    .with(BY_SRT)
    .costs(SIGN)
    .heads(RECEIPT)
    .fails(&[REFUSALS, &[(422, "token-request-malformed"), (422, "key-unknown")]]),
    Route::get(
        JWKS,
        "Lists the keys that receipts of issuance may be verified with now.",
        Body::bytes(JWKS_TYPE),
    ),
    HEALTH_ROUTE,
    METRICS_ROUTE,
];

/// [`issuer_api::PublishedKey`] as it is written.
#[derive(ToSchema)]
#[schema(as = PublishedKey)]
#[expect(dead_code, reason = "a shape")]
struct WrittenPublishedKey {
    /// What tokens under the key are good for.
    purpose: String,
    /// In which epoch they are drawn.
    epoch: u32,
    /// The key as SPKI, base64url (RFC 9578 section 6.5).
    public_key: String,
    /// The Merkle proof, base64url.
    proof: String,
}

/// [`privacy_pass::IssuerDirectory`] as it is written.
#[derive(ToSchema)]
#[schema(as = IssuerDirectory, rename_all = "kebab-case")]
#[expect(dead_code, reason = "a shape")]
struct WrittenDirectory {
    /// Where to post token requests.
    issuer_request_uri: String,
    /// The keys, preferred ones first.
    token_keys: Vec<WrittenDirectoryKey>,
}

#[derive(ToSchema)]
#[schema(as = DirectoryKey, rename_all = "kebab-case")]
#[expect(dead_code, reason = "a shape")]
struct WrittenDirectoryKey {
    /// 2.
    token_type: u16,
    /// The key as SPKI, base64url.
    token_key: String,
    /// From when on it is to be used, in seconds since 1970.
    not_before: Option<u64>,
}
