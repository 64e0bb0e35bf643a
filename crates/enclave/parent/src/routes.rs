//! HTTP to frames and back.

use std::sync::Arc;

use attested::Served;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use encoding::Base64Url;
use http::StatusCode;
use jws::VerifyingKey;
use record::Tap;
use serde::Deserialize;
use service::{Json, Problem, Steps};
use telemetry::{Counter, Metrics, Named, Pace};
use tokio::sync::Semaphore;
use wire::http::{ATTESTATION, GENERATE_TOKENS, MintRequest, MintResponse, REFRESH_TOKENS};
use wire::parent::{Answer, Failure, Request};

use crate::{Link, LinkError};

/// Attestations under way at a time: most of the link's streams stay free for what mints, however many ask.
const ATTESTATIONS: usize = 2;

const REQUESTS: Named = Named {
    name: "cloakroom_enclave_requests_total",
    help: "Requests carried to the enclave, by kind.",
    pace: Pace::Hourly,
};
const FAILURES: Named = Named {
    name: "cloakroom_enclave_failures_total",
    help: "Requests that the enclave did not answer, by cause.",
    pace: Pace::Minutely,
};

struct Door<T: Tap> {
    link: Link<T>,
    attesting: Semaphore,
    attestations: Counter,
    generated: Counter,
    refreshed: Counter,
    unreachable: Counter,
    timed_out: Counter,
    steps: Steps,
}

/// The parent's routes, which count in `metrics` and tell of their `steps`.
pub fn router<T: Tap>(link: Link<T>, metrics: &Metrics, steps: Steps) -> Router {
    let requests = |kind| metrics.counter(REQUESTS, &[("kind", kind)]);
    let failures = |cause| metrics.counter(FAILURES, &[("cause", cause)]);
    let door = Arc::new(Door {
        link,
        attesting: Semaphore::new(ATTESTATIONS),
        attestations: requests("attestation"),
        generated: requests("generate"),
        refreshed: requests("refresh"),
        unreachable: failures("unreachable"),
        timed_out: failures("timeout"),
        steps,
    });
    let open =
        Router::new().route(ATTESTATION, get(attestation::<T>)).layer(service::browser_readable());
    let ordered = Router::new()
        .route(GENERATE_TOKENS, post(generate::<T>))
        .route(REFRESH_TOKENS, post(refresh::<T>));
    open.merge(ordered).with_state(door)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    nonce: String,
}

async fn attestation<T: Tap>(
    State(door): State<Arc<Door<T>>>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Served>, Problem> {
    let nonce = asked
        .ok()
        .and_then(|Query(asked)| hex::decode(asked.nonce).ok())
        .filter(|nonce| nonce.len() <= 512)
        .ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "nonce-malformed", "The nonce is malformed")
                .with_detail("give nonce as hexadecimal digits, at most 512 bytes")
        })?;
    // The queue here is as long as the route's class allows, and ends with the request's time.
    let _place = door.attesting.acquire().await.map_err(|_| unavailable())?;
    match door.ask(&door.attestations, &Request::Attest { nonce }).await? {
        Answer::Attested { document, configuration, minting_key, former_keys } => {
            let former = former_keys.into_iter().map(public_key).collect::<Result<_, _>>()?;
            let served = Served::new(document, configuration, public_key(minting_key)?);
            Ok(Json(served.with_former_keys(former)))
        }
        answer => Err(unexpected(&answer)),
    }
}

fn public_key(bytes: Vec<u8>) -> Result<VerifyingKey, Problem> {
    bytes.try_into().map(VerifyingKey::from_bytes).map_err(|_| Problem::internal())
}

async fn generate<T: Tap>(
    State(door): State<Arc<Door<T>>>,
    Json(mint): Json<MintRequest>,
) -> Result<Json<MintResponse>, Problem> {
    let request = Request::Generate { order: mint.order.into_bytes(), sealed: mint.sealed.0 };
    door.mint(&door.generated, &request).await
}

async fn refresh<T: Tap>(
    State(door): State<Arc<Door<T>>>,
    Json(mint): Json<MintRequest>,
) -> Result<Json<MintResponse>, Problem> {
    let request = Request::Refresh { order: mint.order.into_bytes(), sealed: mint.sealed.0 };
    door.mint(&door.refreshed, &request).await
}

impl<T: Tap> Door<T> {
    async fn ask(&self, kind: &Counter, request: &Request) -> Result<Answer, Problem> {
        kind.increment();
        self.link.ask(request).await.map_err(|error| match error {
            LinkError::Unreachable => {
                self.unreachable.increment();
                unavailable()
            }
            LinkError::TimedOut => {
                self.timed_out.increment();
                unavailable()
            }
            LinkError::TooLong => unopenable(),
        })
    }

    async fn mint(&self, kind: &Counter, request: &Request) -> Result<Json<MintResponse>, Problem> {
        self.steps.reached("mint_forwarding");
        let answer = self.ask(kind, request).await?;
        self.steps.reached("mint_answered");
        match answer {
            Answer::Granted { grant, sealed } => {
                let grant = String::from_utf8(grant).map_err(|_| Problem::internal())?;
                Ok(Json(MintResponse { grant: Some(grant), sealed: Base64Url(sealed) }))
            }
            Answer::Refused { sealed } => {
                Ok(Json(MintResponse { grant: None, sealed: Base64Url(sealed) }))
            }
            answer => Err(unexpected(&answer)),
        }
    }
}

/// The problem that stands for an answer that isn't the one hoped for.
fn unexpected(answer: &Answer) -> Problem {
    match answer {
        Answer::Failed(Failure::Order) => Problem::new(
            StatusCode::FORBIDDEN,
            "order-refused",
            "The order is not the DIP service's, or not for this request",
        ),
        Answer::Failed(Failure::OtherKey) => Problem::new(
            StatusCode::CONFLICT,
            "enclave-key-changed",
            "The request is sealed to a key that the enclave no longer has",
        )
        .with_detail("fetch /attestation again, seal to the present key and repeat"),
        Answer::Failed(Failure::Unopenable) => unopenable(),
        Answer::Failed(Failure::NotBooted | Failure::Module) => unavailable(),
        _ => Problem::internal(),
    }
}

fn unopenable() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "sealed-request-unopenable",
        "The sealed request does not open",
    )
}

fn unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "enclave-unavailable",
        "The enclave does not answer just now",
    )
    .with_retry_after(2)
}
