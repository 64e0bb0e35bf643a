//! A service's life: bind, serve, drain, stop.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse as _;
use coarse::SystemClock;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use record::{Opened, Tap};
use telemetry::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::edge::edge;
use crate::limits::{RATE_FACTOR, busy, rate_factor};
use crate::measure::connections_refused;
use crate::route::Route;
use http_client::Stream;

/// How a service listens and what a peer may cost it.
#[derive(Clone)]
pub struct ServeConfig {
    /// Where to listen; port 0 lets the system choose. Only loopback: plain HTTP is refused elsewhere.
    pub listen: SocketAddr,
    /// How long a body may take to arrive, a handler to answer, and an answer to find a reader: each.
    pub request_timeout: Duration,
    /// How long a connection may take to send a request's head, from its start or from the last answer.
    pub header_read_timeout: Duration,
    /// Bytes of a request's body at most, on routes that aren't in the table.
    pub max_body: usize,
    /// Bytes of a request's target and header fields at most.
    pub max_head: usize,
    /// Connections at a time that are served.
    pub max_connections: usize,
    /// Connections beyond these at a time that are told to come back later; more wait in the system's backlog.
    pub max_refusals: usize,
    /// How many times their classes' rates the routes take. [`Server::bind`] takes it from the environment.
    pub rate_factor: NonZero<u32>,
    /// How long requests under way may take to finish once the service is told to stop.
    pub drain_timeout: Duration,
    /// The service's routes: what each may cost, and under which name it is counted.
    pub routes: &'static [Route],
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

/// How long a connection that won't be served may take to say what it wants.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of a request's head that are read at all; from 16 KiB ([`ServeConfig::max_head`]) to here a request gets a
/// problem document, beyond it hyper's bare 431.
const READ_BUFFER: usize = 64 * 1024;
/// Header fields at most; more get hyper's bare 431.
const MAX_FIELDS: usize = 100;

impl ServeConfig {
    /// Limits for small requests: 10 s, 16 KiB of head, 64 KiB of body, 1,024 connections.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            request_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            max_body: 64 * 1024,
            max_head: 16 * 1024,
            max_connections: 1024,
            max_refusals: 64,
            rate_factor: NonZero::<u32>::MIN,
            drain_timeout: Duration::from_secs(10),
            routes: &[],
            metrics: Metrics::new(Arc::new(SystemClock)),
        }
    }
}

/// Why a service can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address isn't a loopback address.
    #[error("Plain HTTP is refused off loopback: {0} would be readable on the network")]
    PlainOffLoopback(SocketAddr),
    /// The address can't be bound.
    #[error("can't listen on {0}: is something else listening there?")]
    Bind(SocketAddr, #[source] io::Error),
    /// The environment's factor for rates isn't one.
    #[error("{RATE_FACTOR} is a number from 1 to 1000")]
    RateFactor,
    /// The process can't listen for SIGTERM.
    #[error("can't listen for signals")]
    Signal(#[source] io::Error),
}

/// A bound, not yet serving service.
pub struct Server<T: Tap = ()> {
    listener: TcpListener,
    local: SocketAddr,
    config: ServeConfig,
    tap: T,
}

impl<T: Tap> Server<T> {
    /// Binds. `tap` hears what is received; `()` outside of audits.
    pub async fn bind(mut config: ServeConfig, tap: T) -> Result<Self, ServeError> {
        if let Some(factor) = std::env::var_os(RATE_FACTOR) {
            config.rate_factor = rate_factor(&factor).ok_or(ServeError::RateFactor)?;
        }
        let listen = config.listen;
        if !listen.ip().to_canonical().is_loopback() {
            return Err(ServeError::PlainOffLoopback(listen));
        }
        let failed = |error| ServeError::Bind(listen, error);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local, config, tap })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    pub async fn run(self, router: Router) -> Result<(), ServeError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
        let told_to_stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        self.run_until(router, told_to_stop).await;
        Ok(())
    }

    /// Serves until `stop` is ready, then drains: no new connection, requests under way are answered, and
    /// what is left after the drain timeout is cut. `router` has no fallback of its own.
    pub async fn run_until(self, router: Router, stop: impl Future<Output = ()> + Send + 'static) {
        // On one of the runtime's own threads, not on the one that blocks on all this: a connection that is accepted there goes on
        // there, without waking another.
        let mut serving = JoinSet::new();
        serving.spawn(self.accept(router, stop));
        if let Some(Err(error)) = serving.join_next().await
            && error.is_panic()
        {
            resume_unwind(error.into_panic());
        }
    }

    async fn accept(self, router: Router, stop: impl Future<Output = ()>) {
        let Self { listener, local, config, tap } = self;
        let service = TowerToHyperService::new(edge(router, &config));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(config.header_read_timeout);
        http.max_buf_size(READ_BUFFER).max_headers(MAX_FIELDS);
        let mut brief = http.clone();
        brief.header_read_timeout(REFUSAL_PATIENCE.min(config.header_read_timeout));
        let doors = Doors {
            listener: &listener,
            served: Arc::new(Semaphore::new(config.max_connections)),
            refused: Arc::new(Semaphore::new(config.max_refusals)),
        };
        let refused = connections_refused(&config.metrics);
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let publishing = tokio::spawn(publish(config.metrics.clone()));

        tracing::info!(address = %local, "listening");
        tokio::pin!(stop);
        loop {
            let (slot, tcp, peer) = tokio::select! {
                () = &mut stop => break,
                accepted = doors.accept() => accepted,
                // Reaps what has ended.
                Some(_) = connections.join_next() => continue,
            };
            let tap = tap.connected(Opened::ByPeer, Some(peer));
            let stream = TokioIo::new(Stream::new(tcp, tap, config.request_timeout));
            // A peer that breaks off or talks nonsense is its own affair.
            match slot {
                Slot::Served(slot) => {
                    let connection = graceful.watch(http.serve_connection(stream, service.clone()));
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
        publishing.abort();
        drop(listener);
        tracing::info!("draining");
        let drained = timeout(config.drain_timeout, graceful.shutdown()).await.is_ok();
        connections.shutdown().await;
        tracing::info!(drained, "stopped");
    }
}

/// Shows present metrics at each full minute.
async fn publish(metrics: Metrics) {
    loop {
        sleep(metrics.until_next()).await;
        metrics.publish();
    }
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

struct Doors<'a> {
    listener: &'a TcpListener,
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

impl Doors<'_> {
    /// Waits for a connection, and until there is a place for it.
    async fn accept(&self) -> (Slot, TcpStream, SocketAddr) {
        let slot = tokio::select! {
            biased;
            Ok(slot) = Arc::clone(&self.served).acquire_owned() => Slot::Served(slot),
            Ok(slot) = Arc::clone(&self.refused).acquire_owned() => Slot::Refused(slot),
            // The semaphores are never closed.
            else => return pending().await,
        };
        let (tcp, peer) = self.connection().await;
        let slot = match slot {
            // A place may have become free meanwhile.
            Slot::Refused(slot) => match Arc::clone(&self.served).try_acquire_owned() {
                Ok(better) => Slot::Served(better),
                Err(_) => Slot::Refused(slot),
            },
            served @ Slot::Served(_) => served,
        };
        (slot, tcp, peer)
    }

    async fn connection(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((tcp, peer)) => {
                    // Without it small answers wait for acknowledgements; where it fails, they do.
                    let _ = tcp.set_nodelay(true);
                    return (tcp, peer);
                }
                Err(error) if is_the_peers(&error) => {}
                Err(_) => {
                    tracing::warn!("can't accept connections: out of file descriptors or memory?");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// The connection broke before it was accepted.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
