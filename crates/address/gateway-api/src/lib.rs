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
use utoipa::ToSchema;

/// Where peers are added.
pub const PEERS: &str = "/api/v1/peers";

/// Adds a device as a peer until its DAT ends.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPeer {
    /// The access token.
    #[schema(value_type = String)]
    pub dat: Compact,
    /// The device's WireGuard key: the one that the token names.
    #[schema(value_type = String)]
    pub device: PeerKey,
}

/// What the device needs to know to connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// The address that its traffic leaves from, or the IPv6 prefix.
    #[schema(value_type = String)]
    pub exit_address: ExitAddress,
    /// The hour at which the token ends, and the tunnel with it.
    #[schema(value_type = u64)]
    pub ends: Hour,
    /// Where the tunnel ends.
    #[schema(value_type = WrittenTunnelEnd)]
    pub tunnel: TunnelEnd,
}

/// [`TunnelEnd`] as it is written.
#[derive(ToSchema)]
#[schema(as = TunnelEnd)]
#[expect(dead_code, reason = "a shape")]
struct WrittenTunnelEnd {
    /// The gateway's WireGuard key, base64.
    public_key: String,
    /// Where it takes WireGuard's datagrams: `IP:PORT`.
    endpoint: String,
    /// The device's address inside the tunnel.
    inner_address: String,
    /// The resolver's address inside the tunnel.
    resolver: String,
}
