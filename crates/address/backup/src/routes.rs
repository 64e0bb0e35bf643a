//! The HTTP interface: see [`backup_api`] for the messages.

use std::num::NonZero;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use backup_api::{BadSignature, Found, READ, REMOVE, Read, Remove, Removed, WRITE, Write, Written};
use coarse::Clock;
use http::StatusCode;
use service::{Json, Problem};

use crate::decoy::{Decoy, DecoyError};
use crate::measure::Measures;
use crate::store::{BackupStore, Error, Kept};

/// All that the handlers work with.
pub struct Backups<S> {
    /// What is kept.
    pub store: S,
    /// What stands where nothing is kept.
    pub decoy: Decoy,
    /// How many backups there may be.
    pub capacity: NonZero<u32>,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub measures: Measures,
}

type App<S> = State<Arc<Backups<S>>>;

/// The service's routes.
pub fn router<S: BackupStore>(backups: Arc<Backups<S>>) -> Router {
    Router::new()
        .route(READ, post(read::<S>))
        .route(WRITE, post(write::<S>))
        .route(REMOVE, post(remove::<S>))
        .with_state(backups)
}

/// Whatever is there, the same work is done: a decoy is made, and the database looked at.
async fn read<S: BackupStore>(
    State(backups): App<S>,
    Json(Read { locator }): Json<Read>,
) -> Result<Json<Found>, Problem> {
    let decoy = backups.decoy.at(&locator).map_err(|error| unmade(&error))?;
    let kept = backups.store.read(locator).await.map_err(|error| failed(&error))?;
    Ok(Json(Found { blob: kept.unwrap_or(decoy) }))
}

async fn write<S: BackupStore>(
    State(backups): App<S>,
    Json(request): Json<Write>,
) -> Result<Json<Written>, Problem> {
    let (locator, blob) = request.verify().map_err(unsigned)?;
    let (until, capacity) = (crate::end(backups.clock.now()), backups.capacity);
    match backups.store.write(locator, blob, until, capacity).await {
        Ok(Kept::Kept) => Ok(Json(Written { written: true })),
        Ok(Kept::Full) => Err(full()),
        Err(error) => Err(failed(&error)),
    }
}

async fn remove<S: BackupStore>(
    State(backups): App<S>,
    Json(request): Json<Remove>,
) -> Result<Json<Removed>, Problem> {
    let locator = request.verify().map_err(unsigned)?;
    backups.store.remove(locator).await.map_err(|error| failed(&error))?;
    Ok(Json(Removed { removed: true }))
}

fn unsigned(_: BadSignature) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "signature-refused", "The signature does not hold")
        .with_detail("sign the request with the key whose hash is the backup's locator")
}

fn full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "backups-full",
        "The service keeps as many backups as it may",
    )
    .with_detail(
        "no new backup can be kept just now; those that are there can be read and written anew",
    )
    .with_retry_after(3600)
}

/// Nothing was changed, and every request here may be repeated.
fn failed(error: &Error) -> Problem {
    tracing::error!(%error, "the database failed");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-failed", "The service's database failed")
        .with_retry_after(5)
}

fn unmade(error: &DecoyError) -> Problem {
    tracing::error!(%error, "no answer could be made");
    Problem::internal()
}
