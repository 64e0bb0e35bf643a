//! The routes inside tunnels, and the way to them: see [`gateway_api`] for the messages.

use std::sync::Arc;

use ::http::StatusCode;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Router};
use enclave_watch::Attestor;
use gateway_api::{DEVICES, Devices, INSIDE_PORT, OneDevice, REMOVE_DEVICE, RESTORE_DEVICE};
use peer_key::PeerKey;
use service::{Handed, Json, Problem};
use tokio::sync::mpsc;
use tunnel::{Control, ControlFlow};

use crate::admission::Gateway;
use crate::devices::Unserved;
use crate::grants::GrantStore;

/// Flows that may wait to be served; further ones are refused.
const WAITING: usize = 64;

/// Who asks, by their tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Asker(pub PeerKey);

/// The way in from tunnels: what an exit needs for it, and what comes of it.
#[must_use]
pub fn way_in() -> (Control, mpsc::Receiver<Handed<Asker>>) {
    let (sender, flows) = mpsc::channel(WAITING);
    let take = move |ControlFlow { peer, stream }| {
        sender.try_send(Handed { stream, from: Asker(peer) }).is_ok()
    };
    (Control { port: INSIDE_PORT, take: Box::new(take) }, flows)
}

type App<S, A> = State<Arc<Gateway<S, A>>>;

/// The routes inside tunnels.
pub fn inside_router<S: GrantStore, A: Attestor>(gateway: Arc<Gateway<S, A>>) -> Router {
    Router::new()
        .route(DEVICES, get(devices::<S, A>))
        .route(REMOVE_DEVICE, post(remove::<S, A>))
        .route(RESTORE_DEVICE, post(restore::<S, A>))
        .with_state(gateway)
}

async fn devices<S: GrantStore, A: Attestor>(
    State(gateway): App<S, A>,
    Extension(Asker(asker)): Extension<Asker>,
) -> Result<Json<Devices>, Problem> {
    gateway.devices(asker).await.map(Json).map_err(problem)
}

async fn remove<S: GrantStore, A: Attestor>(
    State(gateway): App<S, A>,
    Extension(Asker(asker)): Extension<Asker>,
    Json(OneDevice { device }): Json<OneDevice>,
) -> Result<Json<Devices>, Problem> {
    gateway.remove_device(asker, device).await.map(Json).map_err(problem)
}

async fn restore<S: GrantStore, A: Attestor>(
    State(gateway): App<S, A>,
    Extension(Asker(asker)): Extension<Asker>,
    Json(OneDevice { device }): Json<OneDevice>,
) -> Result<Json<Devices>, Problem> {
    gateway.restore_device(asker, device).await.map(Json).map_err(problem)
}

fn problem(unserved: Unserved) -> Problem {
    match unserved {
        Unserved::Ended => {
            Problem::new(StatusCode::FORBIDDEN, "peer-ended", "This device's tunnel has ended")
                .with_detail("hand the access token in again")
        }
        Unserved::Unknown => Problem::new(
            StatusCode::NOT_FOUND,
            "device-unknown",
            "No device of this address has that thumbprint",
        )
        .with_detail("list the devices of this address"),
        Unserved::Store(error) => {
            tracing::error!(%error, "the database failed");
            Problem::internal()
        }
    }
}
