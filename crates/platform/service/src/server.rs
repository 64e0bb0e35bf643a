//! A service's life: bind, serve, drain, stop.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use record::{Opened, Tap};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::edge::{Limits, edge};
use http_client::Stream;

/// How a service listens and what a peer may cost it.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where to listen; port 0 lets the system choose. Only loopback: plain HTTP is refused elsewhere.
    pub listen: SocketAddr,
    /// How long a body may take to arrive, a handler to answer, and an answer to find a reader: each.
    pub request_timeout: Duration,
    /// How long a connection may take to send a request's head, from its start or from the last answer.
    pub header_read_timeout: Duration,
    /// Bytes of a request's body at most.
    pub max_body: usize,
    /// Connections at a time; more wait in the system's backlog.
    pub max_connections: usize,
    /// How long requests under way may take to finish once the service is told to stop.
    pub drain_timeout: Duration,
}

impl ServeConfig {
    /// Limits for small requests: 10 s, 64 KiB, 1,024 connections.
    #[must_use]
    pub const fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            request_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            max_body: 64 * 1024,
            max_connections: 1024,
            drain_timeout: Duration::from_secs(10),
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
    pub async fn run_until(self, router: Router, stop: impl Future<Output = ()>) {
        let Self { listener, local, config, tap } = self;
        let limits = Limits { request_timeout: config.request_timeout, max_body: config.max_body };
        let service = TowerToHyperService::new(edge(router, limits));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(config.header_read_timeout);
        let slots = Arc::new(Semaphore::new(config.max_connections));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();

        tracing::info!(address = %local, "listening");
        tokio::pin!(stop);
        loop {
            let (slot, tcp, peer) = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&listener, &slots) => accepted,
                // Reaps what has ended.
                Some(_) = connections.join_next() => continue,
            };
            let tap = tap.connected(Opened::ByPeer, Some(peer));
            let stream = TokioIo::new(Stream::new(tcp, tap, config.request_timeout));
            let connection = graceful.watch(http.serve_connection(stream, service.clone()));
            connections.spawn(async move {
                // A peer that breaks off or talks nonsense is its own affair.
                let _ = connection.await;
                drop(slot);
            });
        }
        drop(listener);
        tracing::info!("draining");
        let drained = timeout(config.drain_timeout, graceful.shutdown()).await.is_ok();
        connections.shutdown().await;
        tracing::info!(drained, "stopped");
    }
}

/// Waits for a free slot, then for a connection.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
    let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
        // The semaphore is never closed.
        return pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                // Without it small answers wait for acknowledgements; where it fails, they do.
                let _ = tcp.set_nodelay(true);
                return (slot, tcp, peer);
            }
            Err(error) if is_the_peers(&error) => {}
            Err(_) => {
                tracing::warn!("can't accept connections: out of file descriptors or memory?");
                sleep(Duration::from_millis(100)).await;
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
