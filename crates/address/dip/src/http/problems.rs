//! All refusals, in one place: status, slug, title, and what to do.

use ::http::StatusCode;
use enclave_watch::Unverified;
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

pub(super) fn store(error: &Error) -> Problem {
    tracing::error!(%error, "the database failed");
    Problem::internal()
}

/// Signing can't fail with the values that are signed here; if it does, that is our fault.
pub(super) fn signing(error: jws::Error) -> Problem {
    tracing::error!(%error, "an order can't be signed");
    Problem::internal()
}
