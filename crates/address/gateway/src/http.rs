//! The control API: see [`gateway_api`] for the messages.

use std::sync::Arc;

use ::http::header::WWW_AUTHENTICATE;
use ::http::{HeaderValue, StatusCode};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use enclave_watch::Attestor;
use gateway_api::{AddPeer, PEERS, Peer};
use service::{Json, Problem};

use crate::admission::{Gateway, Refused};
use crate::grants::GrantStore;

type App<S, A> = State<Arc<Gateway<S, A>>>;

/// The gateway's routes.
pub fn router<S: GrantStore, A: Attestor>(gateway: Arc<Gateway<S, A>>) -> Router {
    Router::new()
        .route(PEERS, post(add_peer::<S, A>))
        .route("/health", get(health::<S, A>))
        .with_state(gateway)
}

async fn add_peer<S: GrantStore, A: Attestor>(
    State(gateway): App<S, A>,
    Json(AddPeer { dat, device }): Json<AddPeer>,
) -> Result<Json<Peer>, Problem> {
    let admitted = gateway.admit(dat, device).await;
    gateway.measures.answered(admitted.is_ok());
    admitted.map(Json).map_err(problem)
}

async fn health<S: GrantStore, A: Attestor>(
    State(gateway): App<S, A>,
) -> Result<Response, Problem> {
    if !gateway.is_ready() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "Starting")
            .with_detail("the enclave has not been attested yet")
            .with_retry_after(1));
    }
    Ok(Json(serde_json::json!({ "status": "ok" })).into_response())
}

fn problem(refused: Refused) -> Problem {
    let unauthorized = |slug, title| {
        Problem::new(StatusCode::UNAUTHORIZED, slug, title).with_header(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_token\""),
        )
    };
    let not_served = || {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "address-not-served",
            "This gateway does not serve the token's address",
        )
    };
    match refused {
        Refused::Dat => unauthorized("dat-refused", "The access token is not accepted")
            .with_detail("it is malformed, no access token, or not this provider's enclave's"),
        Refused::Expired => unauthorized("dat-expired", "The access token has expired")
            .with_detail("refresh the lease for a new one"),
        Refused::Device => {
            Problem::new(StatusCode::FORBIDDEN, "device-mismatch", "The token names another device")
                .with_detail("refresh the lease with this device's key")
        }
        Refused::Address => not_served()
            .with_detail("go to the gateway that came with the lease, or refresh the lease"),
        Refused::NotCarried => not_served().with_detail(
            "its tunnels carry IPv4 only, and the token is for an IPv6 address: ask the provider for a gateway that carries IPv6",
        ),
        Refused::Removed => Problem::new(
            StatusCode::FORBIDDEN,
            "device-removed",
            "Another device of the address removed this one",
        )
        .with_detail("a device of the address can restore it, from inside its tunnel"),
        Refused::Full => Problem::new(
            StatusCode::CONFLICT,
            "device-limit-reached",
            "As many devices as may use the address at a time do",
        )
        .with_detail(
            "remove one from inside the tunnel of another, or wait until one's token ends",
        ),
        Refused::NotAttested => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "enclave-unavailable",
            "The enclave has not been attested yet",
        )
        .with_retry_after(5),
        Refused::Store(error) => {
            tracing::error!(%error, "the database failed");
            Problem::internal()
        }
    }
}
