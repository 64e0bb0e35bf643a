//! All refusals, in one place: status, slug, title, and what to do.

use std::fmt::Display;

use ::http::StatusCode;
use axum::extract::rejection::QueryRejection;
use coarse::Epoch;
use dip_api::operator::MOST_ADDRESSES;
use enclave_watch::Unverified;
use pool::PlaceError;
use service::Problem;
use store::Error;

use crate::enclave::MintError;

pub(super) fn token_required() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "token-required", "A dedicated-ip token is required")
        .with_detail("draw one for the challenge in WWW-Authenticate")
}

pub(super) fn token_refused() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "token-refused", "The token is not accepted")
        .with_detail("it is malformed, of another issuer, origin, purpose or key, or expired")
}

pub(super) fn sealed_request_missing() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "sealed-request-missing",
        "The request to the enclave is missing",
    )
    .with_detail("nothing was spent; send it as `sealed`")
}

pub(super) fn sealed_request_size() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "sealed-request-size",
        "The request to the enclave is not of its one size",
    )
    .with_detail("nothing was spent; pad it as its type demands")
}

pub(super) fn region_unknown() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "region-unknown", "There is no such region")
        .with_detail("nothing was spent; ask for the list of regions")
}

pub(super) fn pool_exhausted() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "pool-exhausted",
        "All addresses of this region are taken",
    )
    .with_detail("nothing was spent; try later or another region")
    .with_retry_after(3600)
}

pub(super) fn lease_unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "lease-unknown", "There is no such lease")
}

pub(super) fn lease_ended() -> Problem {
    Problem::new(StatusCode::GONE, "lease-ended", "The lease has ended")
        .with_detail("its address can't be had back; ask support for a reset")
}

pub(super) fn address_withdrawn() -> Problem {
    Problem::new(StatusCode::GONE, "address-withdrawn", "The provider has withdrawn the address")
        .with_detail("ask support for a reset: it gives another address")
}

pub(super) fn reservation_lost() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "reservation-lost",
        "The reserved address is not to be had any more",
    )
    .with_detail("send the same token again: it gets another address")
    .with_retry_after(1)
}

pub(super) fn enclave_unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "enclave-unavailable",
        "The enclave is not available just now",
    )
    .with_detail("send the same request again later: the token stays good for it")
    .with_retry_after(5)
}

/// What the enclave, or its parent, made of a request.
pub(super) fn mint(error: MintError) -> Problem {
    match error {
        MintError::OtherKey => Problem::new(
            StatusCode::CONFLICT,
            "enclave-key-changed",
            "The enclave has another key than the one this request is sealed to",
        )
        .with_detail("attest it again, seal to its present key, and send again"),
        MintError::Unopenable => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "sealed-request-unopenable",
            "The enclave can't open the sealed request",
        )
        .with_detail("seal it for this token, or this lease, and send again"),
        MintError::Order | MintError::Unavailable => enclave_unavailable(),
    }
}

/// A grant that isn't the attested enclave's, or not for this request: nothing of the answer is passed on.
pub(super) fn grant(error: Unverified) -> Problem {
    tracing::error!(%error, "a grant was not accepted");
    enclave_unavailable()
}

pub(super) fn query(rejection: QueryRejection) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "query-refused", "The query is not understood")
        .with_detail(rejection.body_text())
}

pub(super) fn too_many_addresses() -> Problem {
    let title = "There are too many addresses in one request";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many-addresses", title)
        .with_detail(format!("send {MOST_ADDRESSES} at most, and the others in further requests"))
}

pub(super) fn gateway_unknown(error: impl Display) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "gateway-unknown", "There is no such gateway")
        .with_detail(format!("nothing was changed: {error}"))
}

pub(super) fn gateway_url(error: impl Display) -> Problem {
    let title = "The gateway's URL is refused";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "gateway-url", title)
        .with_detail(error.to_string())
}

pub(super) fn conflict(error: impl Display) -> Problem {
    let title = "The pool has an address otherwise";
    Problem::new(StatusCode::CONFLICT, "address-conflict", title)
        .with_detail(format!("nothing was changed: {error}"))
}

pub(super) fn place(error: PlaceError) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "place-refused", "There is no such place")
        .with_detail(error.to_string())
}

pub(super) fn no_tree() -> Problem {
    let title = "The provider's file commits to no such keys";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "tree-missing", title)
}

pub(super) fn token_key_refused(epoch: Epoch) -> Problem {
    let title = "The provider's file doesn't commit to a key";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "token-key-refused", title)
        .with_detail(format!("nothing was kept: it is the key of epoch {epoch}"))
}

pub(super) fn not_leased() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-leased", "Nobody has this address")
}

pub(super) fn store(error: &Error) -> Problem {
    tracing::error!(%error, "the database failed");
    Problem::internal()
}

/// Signing can't fail with the values that are signed here; if it does, that is our fault.
pub(super) fn signing(error: jws::Error) -> Problem {
    tracing::error!(%error, "an order can't be signed");
    Problem::internal()
}
