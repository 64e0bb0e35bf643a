//! The HTTP interface: see [`dip_api`] for the messages.

mod assign;
mod operate;
mod problems;
mod refresh;

use std::sync::Arc;

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderName, StatusCode};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use coarse::{Clock, Week};
use dip_api::Regions;
use enclave_watch::EnclaveWatch;
use encoding::Base64Url;
use jws::KeySet;
use key_ring::{JWKS, JWKS_TYPE, LiveSigner};
use operating::Acts;
use service::{Json, OperatorSecret, Problem, Steps, operator_only};
use wire::envelope::REQUEST_OVERHEAD;

use crate::demand::Demand;
use crate::enclave::Enclave;
use crate::measure::Measures;
use crate::store::{DipStore, Error, PoolStore};
use crate::{Ledger, LiveGate};

/// All that the handlers work with.
pub struct Dip<S, E> {
    /// What is kept.
    pub ledger: Ledger<S>,
    /// The enclave, and its attested keys.
    pub enclave: EnclaveWatch<E>,
    /// Signs orders.
    pub order_key: LiveSigner,
    /// Decides on tokens.
    pub gate: LiveGate,
    /// The provider's file, as it was signed: clients fetch newer ones here.
    pub provider: Bytes,
    /// Weeks that an address rests after a lease.
    pub quarantine: u32,
    /// What operators do leaves a line here.
    pub acts: Acts,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// Leases that began.
    pub demand: Demand,
    /// What is counted.
    pub measures: Measures,
    /// Hears of steps.
    pub steps: Steps,
}

impl<S: DipStore, E> Dip<S, E> {
    /// The database, for all but what the ledger commits.
    pub const fn store(&self) -> &S {
        self.ledger.store()
    }

    /// Ends a part of what has ended; whether there is more to do.
    ///
    /// # Errors
    /// The database's, or the journal's.
    pub async fn tidy(&self) -> Result<bool, Error> {
        let now = self.clock.now().week();
        let quarantine = Week::new(now.number().saturating_add(self.quarantine));
        self.ledger.tidy(now, quarantine).await
    }
}

type App<S, E> = State<Arc<Dip<S, E>>>;

/// The service's routes.
pub fn router<S: DipStore + PoolStore, E: Enclave>(
    dip: Arc<Dip<S, E>>,
    operator: OperatorSecret,
) -> Router {
    dip.measures.watch(&dip.enclave);
    operator_only(operate::routes(), operator)
        .route(dip_api::REGIONS, get(regions::<S, E>))
        .route(dip_api::ASSIGN, post(assign::assign::<S, E>))
        .route(dip_api::REFRESH, post(refresh::refresh::<S, E>))
        .route(dip_api::PROVIDER, get(provider::<S, E>))
        .route(JWKS, get(jwks::<S, E>))
        .route("/health", get(health::<S, E>))
        .with_state(dip)
}

async fn regions<S: DipStore, E: Enclave>(State(dip): App<S, E>) -> Result<Json<Regions>, Problem> {
    let regions = dip.store().regions().await.map_err(|error| problems::store(&error))?;
    Ok(Json(Regions { regions }))
}

/// The keys that orders may be verified with now: those that sign, will sign and signed.
async fn jwks<S: DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> ([(HeaderName, &'static str); 1], axum::Json<KeySet>) {
    ([(CONTENT_TYPE, JWKS_TYPE)], axum::Json(dip.order_key.published()))
}

/// The provider's file.
async fn provider<S: DipStore, E: Enclave>(
    State(dip): App<S, E>,
) -> ([(HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], dip.provider.clone())
}

async fn health<S: DipStore, E: Enclave>(State(dip): App<S, E>) -> Result<Response, Problem> {
    if dip.enclave.keys().is_none() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "Starting")
            .with_detail("the enclave has not been attested yet")
            .with_retry_after(1));
    }
    Ok(Json(serde_json::json!({ "status": "ok" })).into_response())
}

/// A sealed request of the one size that its type has.
fn sized(sealed: Option<Base64Url>, size: usize) -> Result<Base64Url, Problem> {
    let sealed = sealed.ok_or_else(problems::sealed_request_missing)?;
    match sealed.0.len() {
        0 => Err(problems::sealed_request_missing()),
        length if length == size + REQUEST_OVERHEAD => Ok(sealed),
        _ => Err(problems::sealed_request_size()),
    }
}
