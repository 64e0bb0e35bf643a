//! The gateway's control messages.
//!
//! | request | answer |
//! |---|---|
//! | `POST /api/v1/peers` [`AddPeer`] | [`Peer`] |
//!
//! A DAT adds its own device and does nothing else; adding it again changes nothing.

use coarse::Hour;
use jws::Compact;
use lease::{ExitAddress, TunnelEnd};
use peer_key::PeerKey;
use serde::{Deserialize, Serialize};

/// Where peers are added.
pub const PEERS: &str = "/api/v1/peers";

/// Adds a device as a peer until its DAT ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddPeer {
    /// The access token.
    pub dat: Compact,
    /// The device's WireGuard key: the one that the token names.
    pub device: PeerKey,
}

/// What the device needs to know to connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The address that its traffic leaves from.
    pub exit_address: ExitAddress,
    /// The hour at which the token ends, and the tunnel with it.
    pub ends: Hour,
    /// Where the tunnel ends.
    pub tunnel: TunnelEnd,
}
