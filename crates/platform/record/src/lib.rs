//! The knowledge audit's tap: what a process received, byte for byte.
//!
//! The audit asks what each party *could* know, so it looks at everything that came in. Whatever reads
//! from a socket is generic over a [`Tap`]; a release binary uses the tap `()`, which compiles to
//! nothing, and only an audit build names a [`Recorder`]. [`TAP_MARKER`] stands in the bytes of every
//! binary that can record and of none that can't, so that a test can tell them apart.
//!
//! The programs that can record can also be rehearsed with: their clock may be moved ahead, and they may be held at a step so that
//! somebody kills them there. Released programs, whose tap is `()`, can neither be told another time nor be held.
//!
//! The crate uses the standard library only: the enclave links it, too.

mod recorder;
mod recording;
mod rehearsal;

pub use recorder::Recorder;
pub use recording::{Conversation, LoadError, Note, Recording};
pub use rehearsal::{Hold, Steps, ahead};

use std::net::SocketAddr;

/// First line of every recording, and thereby part of every binary that is able to make one.
pub const TAP_MARKER: &str = "cloakroom-knowledge-tap";

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opened {
    /// The peer did; this process accepted.
    ByPeer,
    /// This process did; what it receives are answers.
    ByUs,
}

/// Listens to everything that a process receives.
pub trait Tap: Clone + Send + Sync + 'static {
    /// Listens to one connection.
    type Connection: Connection;

    /// A connection stands. `peer` is the other end's network address, which the process learns with
    /// it; `None` where there is none (a Unix socket, a vsock).
    fn connected(&self, opened: Opened, peer: Option<SocketAddr>) -> Self::Connection;

    /// The process learned `bytes` in another way than by reading them from a connection: a datagram,
    /// or the plaintext of something that arrived sealed. `kind` says what they are, in one word.
    fn note(&self, kind: &'static str, bytes: &[u8]);

    /// How many seconds the process's clock is ahead of the system's: none, but in rehearsals.
    #[inline]
    fn ahead(&self) -> u64 {
        0
    }

    /// Who is told of the steps that the process reaches: nobody, but in rehearsals.
    #[inline]
    fn steps(&self) -> Steps {
        Steps::default()
    }
}

/// Listens to one connection. Dropping it says that the connection is closed.
pub trait Connection: Send + Unpin + 'static {
    /// The next bytes that came in, in order.
    fn received(&mut self, bytes: &[u8]);
}

/// The tap that isn't there.
impl Tap for () {
    type Connection = ();

    #[inline]
    fn connected(&self, _: Opened, _: Option<SocketAddr>) {}

    #[inline]
    fn note(&self, _: &'static str, _: &[u8]) {}
}

impl Connection for () {
    #[inline]
    fn received(&mut self, _: &[u8]) {}
}
