//! A service's life: bind, serve, drain, stop.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use coarse::SystemClock;
use record::Tap;
use telemetry::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::limits::{RATE_FACTOR, rate_factor};
use crate::route::{Route, Side};
use crate::serving::{Accepted, Source, on_the_runtime, serve};

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

impl ServeConfig {
    /// The same with what an operator says in the environment.
    pub(crate) fn with_environment(mut self) -> Result<Self, ServeError> {
        if let Some(factor) = std::env::var_os(RATE_FACTOR) {
            self.rate_factor = rate_factor(&factor).ok_or(ServeError::RateFactor)?;
        }
        Ok(self)
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
    pub async fn bind(config: ServeConfig, tap: T) -> Result<Self, ServeError> {
        let config = config.with_environment()?;
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
        let told = told_to_stop()?;
        self.run_until(router, told).await;
        Ok(())
    }

    /// Serves until `stop` is ready, then drains: no new connection, requests under way are answered, and
    /// what is left after the drain timeout is cut. `router` has no fallback of its own.
    pub async fn run_until(self, router: Router, stop: impl Future<Output = ()> + Send + 'static) {
        let Self { listener, local, config, tap } = self;
        let publishing = tokio::spawn(publish(config.metrics.clone()));
        tracing::info!(address = %local, "listening");
        let drained = on_the_runtime(serve(listener, router, config, tap, stop)).await;
        publishing.abort();
        tracing::info!(drained, "stopped");
    }
}

/// Ready at SIGTERM or SIGINT.
pub(crate) fn told_to_stop() -> Result<impl Future<Output = ()> + Send + 'static, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Shows present metrics at each full minute.
async fn publish(metrics: Metrics) {
    loop {
        sleep(metrics.until_next()).await;
        metrics.publish();
    }
}

impl Source for TcpListener {
    const SIDE: Side = Side::Outside;
    type Stream = TcpStream;
    type From = ();

    async fn next(&mut self) -> Option<Accepted<TcpStream, ()>> {
        loop {
            match self.accept().await {
                Ok((stream, peer)) => {
                    // Without it small answers wait for acknowledgements; where it fails, they do.
                    let _ = stream.set_nodelay(true);
                    return Some(Accepted { stream, peer: Some(peer), from: () });
                }
                Err(error) if is_the_peers(&error) => {}
                Err(_) => {
                    tracing::warn!("can't accept connections: out of file descriptors or memory?");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// No handler is told the peer's network address.
    fn introduce((): &(), _: &mut http::Extensions) {}
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
