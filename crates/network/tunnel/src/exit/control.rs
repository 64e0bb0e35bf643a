//! From inside a tunnel to whoever answers for the exit.
//!
//! A peer's TCP flow to the control port goes through no port of the host's. The exit makes a pair of connected sockets
//! and hands one of them over, with the key of the peer whose tunnel the flow came out of. So nobody else can open such a
//! flow, and none can be taken for another peer's: there is no address to connect to, and no table of addresses that
//! could be out of date when the system uses a port again.

use std::io;
use std::os::unix::net::UnixStream;

use mio::net::UnixStream as HostUnixStream;
use peer_key::PeerKey;

/// What an exit answers itself, from inside tunnels: TCP flows to one port of its inner address.
pub struct Control {
    /// The port.
    pub port: u16,
    /// Takes flows in.
    pub take: TakeFlow,
}

/// Takes a flow in, on the exit's own thread: it must not wait. Says whether it did; if not, the peer hears a refusal.
pub type TakeFlow = Box<dyn Fn(ControlFlow) -> bool + Send>;

/// A flow that came out of a peer's tunnel.
pub struct ControlFlow {
    /// Whose tunnel: as sure as WireGuard's handshake.
    pub peer: PeerKey,
    /// The flow. It ends when the peer's tunnel does.
    pub stream: UnixStream,
}

impl Control {
    /// Opens a flow of `peer`'s: the exit's end of it.
    pub(super) fn open(&self, peer: PeerKey) -> io::Result<HostUnixStream> {
        let (near, stream) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        if !(self.take)(ControlFlow { peer, stream }) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(HostUnixStream::from_std(near))
    }
}
