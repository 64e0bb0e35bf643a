//! The gateway's control messages.
//!
//! | request | where | answer |
//! |---|---|---|
//! | `POST /api/v1/peers` [`AddPeer`] | at the gateway's URL | [`Peer`] |
//! | `GET /api/v1/devices` | inside the tunnel | [`Devices`] |
//! | `POST /api/v1/devices/remove` [`OneDevice`] | inside the tunnel | [`Devices`] |
//! | `POST /api/v1/devices/restore` [`OneDevice`] | inside the tunnel | [`Devices`] |
//!
//! A DAT adds its own device and does nothing else; adding it again changes nothing. Everything else is asked from inside a
//! tunnel, at [`INSIDE_PORT`] of the address that is the resolver's, too: WireGuard itself says who asks there. A device sees
//! and removes the devices of its own exit address, and learns of no others.

use std::time::Duration;

use coarse::Hour;
use jws::Compact;
use lease::{ExitAddress, TunnelEnd};
use peer_key::{PeerKey, Thumbprint};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where peers are added.
pub const PEERS: &str = "/api/v1/peers";

/// The port of the gateway's inner address at which it is asked from inside a tunnel.
pub const INSIDE_PORT: u16 = 3006;
/// Where the devices of the asker's address are listed, inside.
pub const DEVICES: &str = "/api/v1/devices";
/// Where one is removed, inside.
pub const REMOVE_DEVICE: &str = "/api/v1/devices/remove";
/// Where a removed one is allowed again, inside.
pub const RESTORE_DEVICE: &str = "/api/v1/devices/restore";

/// How long a removed device's key is refused: until whatever a lost device may hold has ended. With a subscription receipt of three
/// days it can get an access token that lasts another three.
pub const REMOVAL: Duration = Duration::from_secs(6 * 24 * 3600);

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

/// The devices that may use the asker's address at present, in the order of their thumbprints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Devices {
    /// Each of them.
    pub devices: Vec<Device>,
}

/// A device that may use an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// RFC 7638 thumbprint of its WireGuard key.
    #[schema(value_type = String)]
    pub device: Thumbprint,
    /// The hour at which its token ends, and its tunnel with it.
    #[schema(value_type = u64)]
    pub ends: Hour,
    /// Whether it is the one that asks.
    pub this: bool,
}

/// Names one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OneDevice {
    /// RFC 7638 thumbprint of its WireGuard key.
    #[schema(value_type = String)]
    pub device: Thumbprint,
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
