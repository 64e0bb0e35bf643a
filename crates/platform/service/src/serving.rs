//! Serving connections, wherever they come from, within limits, and draining.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse as _;
use http::header::CONNECTION;
use http::{Extensions, HeaderValue, Request};
use http_client::Stream;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use record::{Opened, Tap};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ServeConfig;
use crate::edge::edge;
use crate::limits::busy;
use crate::measure::connections_refused;
use crate::route::Side;

/// How long a connection that won't be served may take to say what it wants.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of a request's head that are read at all; from 16 KiB ([`ServeConfig::max_head`]) to here a request gets a
/// problem document, beyond it hyper's bare 431.
const READ_BUFFER: usize = 64 * 1024;
/// Header fields at most; more get hyper's bare 431.
const MAX_FIELDS: usize = 100;

/// Where connections come from.
pub(crate) trait Source: Send + 'static {
    /// Whose routes these connections get to.
    const SIDE: Side;
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Who opened it, as far as handlers are told.
    type From: Send + Sync + 'static;

    /// The next connection; nothing once there will be none. What is given up while it waits loses no connection.
    fn next(&mut self) -> impl Future<Output = Option<Accepted<Self::Stream, Self::From>>> + Send;

    /// Tells a request's handler who opened its connection.
    fn introduce(from: &Self::From, to: &mut Extensions);
}

/// A connection that was accepted.
pub(crate) struct Accepted<S, F> {
    pub(crate) stream: S,
    /// The other end's network address, for taps.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) from: F,
}

/// Waits for `serving` on one of the runtime's own threads, not on the one that blocks on all this: a connection that is accepted
/// there goes on there, without waking another.
pub(crate) async fn on_the_runtime(serving: impl Future<Output = bool> + Send + 'static) -> bool {
    let mut running = JoinSet::new();
    running.spawn(serving);
    match running.join_next().await {
        Some(Ok(drained)) => drained,
        Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
        _ => false,
    }
}

/// Serves what comes from `source` until `stop` is ready or nothing comes any more, then drains. Whether all that was under way
/// was finished in time.
pub(crate) async fn serve<S: Source, T: Tap>(
    source: S,
    router: Router,
    config: ServeConfig,
    tap: T,
    stop: impl Future<Output = ()>,
) -> bool {
    let service = TowerToHyperService::new(edge(router, &config, S::SIDE));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.header_read_timeout);
    http.max_buf_size(READ_BUFFER).max_headers(MAX_FIELDS);
    let mut brief = http.clone();
    brief.header_read_timeout(REFUSAL_PATIENCE.min(config.header_read_timeout));
    let mut doors = Doors {
        source,
        served: Arc::new(Semaphore::new(config.max_connections)),
        refused: Arc::new(Semaphore::new(config.max_refusals)),
    };
    let refused = connections_refused(&config.metrics);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = doors.accept() => accepted,
            // Reaps what has ended.
            Some(_) = connections.join_next() => continue,
        };
        let Some((slot, Accepted { stream, peer, from })) = accepted else { break };
        let tap = tap.connected(Opened::ByPeer, peer);
        let stream = TokioIo::new(Stream::new(stream, tap, config.request_timeout));
        // A peer that breaks off or talks nonsense is its own affair.
        match slot {
            Slot::Served(slot) => {
                let service = service.clone();
                let introduced = service_fn(move |mut request: Request<Incoming>| {
                    S::introduce(&from, request.extensions_mut());
                    service.call(request)
                });
                let connection = graceful.watch(http.serve_connection(stream, introduced));
                connections.spawn(async move {
                    let _ = connection.await;
                    drop(slot);
                });
            }
            Slot::Refused(slot) => {
                refused.increment();
                let refusing = service_fn(|_| async { Ok::<_, Infallible>(refusal()) });
                let connection = graceful.watch(brief.serve_connection(stream, refusing));
                connections.spawn(async move {
                    let _ = connection.await;
                    drop(slot);
                });
            }
        }
    }
    drop(doors);
    tracing::info!("draining");
    let drained = timeout(config.drain_timeout, graceful.shutdown()).await.is_ok();
    connections.shutdown().await;
    drained
}

/// What whoever comes beyond the cap is told.
fn refusal() -> axum::response::Response {
    let mut response = busy().into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A connection's place.
enum Slot {
    Served(OwnedSemaphorePermit),
    Refused(OwnedSemaphorePermit),
}

struct Doors<S> {
    source: S,
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

impl<S: Source> Doors<S> {
    /// Waits for a connection, and until there is a place for it. Nothing once there will be none.
    async fn accept(&mut self) -> Option<(Slot, Accepted<S::Stream, S::From>)> {
        let slot = tokio::select! {
            biased;
            Ok(slot) = Arc::clone(&self.served).acquire_owned() => Slot::Served(slot),
            Ok(slot) = Arc::clone(&self.refused).acquire_owned() => Slot::Refused(slot),
            // The semaphores are never closed.
            else => return pending().await,
        };
        let accepted = self.source.next().await?;
        let slot = match slot {
            // A place may have become free meanwhile.
            Slot::Refused(slot) => match Arc::clone(&self.served).try_acquire_owned() {
                Ok(better) => Slot::Served(better),
                Err(_) => Slot::Refused(slot),
            },
            served @ Slot::Served(_) => served,
        };
        Some((slot, accepted))
    }
}
