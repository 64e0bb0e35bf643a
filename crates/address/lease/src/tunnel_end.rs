//! Where a device's tunnel ends.

use std::net::{Ipv4Addr, SocketAddr};

use peer_key::PeerKey;
use serde::{Deserialize, Serialize};

/// What a device needs to know of a gateway to open a tunnel to it. The inner addresses are the same for every
/// peer: each has a network stack of its own, so that they tell nobody apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelEnd {
    /// The gateway's WireGuard key.
    pub public_key: PeerKey,
    /// Where it takes WireGuard's datagrams.
    pub endpoint: SocketAddr,
    /// The device's address inside the tunnel.
    pub inner_address: Ipv4Addr,
    /// The resolver's address inside the tunnel.
    pub resolver: Ipv4Addr,
}
