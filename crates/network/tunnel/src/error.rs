//! What can go wrong when a tunnel's end is started or asked something.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

/// Why an exit or a client couldn't be started, or didn't do what was asked.
#[derive(Debug, Error)]
pub enum TunnelError {
    /// A socket can't be had on this address: it is taken, foreign or forbidden. Choose another.
    #[error("can't listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The proxy has no authentication, so it only ever listens on loopback.
    #[error("{0} isn't a loopback address: the proxy would be open to others")]
    NotLoopback(SocketAddr),
    /// The largest inner packet must be 576 to 9000 bytes.
    #[error("an MTU of {0} bytes isn't between 576 and 9000")]
    Mtu(u16),
    /// The system refused what the loop needs to run (a poll, a thread, randomness).
    #[error("the system can't run the tunnel")]
    System(#[from] io::Error),
    /// No handshake was completed in time: the far end is away, or doesn't know this key.
    #[error("no handshake within {0:?}: the far end is away or doesn't know this key")]
    NoHandshake(Duration),
    /// The loop has ended.
    #[error("the tunnel has been shut down")]
    Stopped,
}

/// The inner MTU that fits any path with an outer MTU of 1500 bytes (WireGuard's default).
pub const DEFAULT_MTU: u16 = 1420;

/// `mtu` when it lies in the range that the stack supports.
pub(crate) fn checked_mtu(mtu: u16) -> Result<u16, TunnelError> {
    if (576..=9000).contains(&mtu) { Ok(mtu) } else { Err(TunnelError::Mtu(mtu)) }
}
