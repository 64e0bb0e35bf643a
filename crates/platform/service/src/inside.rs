//! The routes inside peers' tunnels.
//!
//! Whoever is asked from inside a tunnel knows who asks, by the tunnel. So these routes have no address to listen on: whoever
//! ends the tunnels hands over each connection, with who opened it, and handlers take that as `Extension<W>`.
//! `/health` and `/metrics` aren't there.

use axum::Router;
use http::Extensions;
use record::Tap;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::route::Side;
use crate::server::told_to_stop;
use crate::serving::{Accepted, Source, on_the_runtime, serve};
use crate::{ServeConfig, ServeError};

/// A connection out of a tunnel, and who opened it.
pub struct Handed<W> {
    /// The connection.
    pub stream: std::os::unix::net::UnixStream,
    /// Whose tunnel it came out of.
    pub from: W,
}

/// Serves those who are inside, beside a [`Server`](crate::Server) with the same table of routes.
pub struct Inside<W, T: Tap = ()> {
    connections: mpsc::Receiver<Handed<W>>,
    config: ServeConfig,
    tap: T,
}

impl<W: Clone + Send + Sync + 'static, T: Tap> Inside<W, T> {
    /// Takes connections from `connections`, within the limits of `config`, which are apart from the server's (its
    /// address is the server's affair). `tap` hears what is received; `()` outside of audits.
    ///
    /// # Errors
    /// [`ServeError::RateFactor`].
    pub fn new(
        config: ServeConfig,
        connections: mpsc::Receiver<Handed<W>>,
        tap: T,
    ) -> Result<Self, ServeError> {
        Ok(Self { connections, config: config.with_environment()?, tap })
    }

    /// Serves until SIGTERM or SIGINT, or until nobody can hand over connections any more; then drains.
    ///
    /// # Errors
    /// [`ServeError::Signal`].
    pub async fn run(self, router: Router) -> Result<(), ServeError> {
        let told = told_to_stop()?;
        self.run_until(router, told).await;
        Ok(())
    }

    /// Serves until `stop` is ready, or until nobody can hand over connections any more; then drains. `router` has no
    /// fallback of its own.
    pub async fn run_until(self, router: Router, stop: impl Future<Output = ()> + Send + 'static) {
        let Self { connections, config, tap } = self;
        on_the_runtime(serve(connections, router, config, tap, stop)).await;
    }
}

impl<W: Clone + Send + Sync + 'static> Source for mpsc::Receiver<Handed<W>> {
    const SIDE: Side = Side::Inside;
    type Stream = UnixStream;
    type From = W;

    async fn next(&mut self) -> Option<Accepted<UnixStream, W>> {
        loop {
            let Handed { stream, from } = self.recv().await?;
            let ready = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
            match ready {
                Ok(stream) => return Some(Accepted { stream, peer: None, from }),
                Err(_) => tracing::warn!("can't take a connection: out of file descriptors?"),
            }
        }
    }

    fn introduce(from: &W, to: &mut Extensions) {
        to.insert(from.clone());
    }
}
