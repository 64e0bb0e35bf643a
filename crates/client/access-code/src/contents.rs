//! What is backed up.

use coarse::Hour;
use dip_api::GatewayInfo;
use jws::{Compact, KeyId};
use lease::{ExitAddress, LeaseId, Region};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// All that another device needs for a lease: the refresh token, and what belongs to it. JSON, of exactly these members.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// The key that signed the provider's file, by its name.
    pub signer: KeyId,
    /// The lease.
    pub lease: LeaseId,
    /// The address's region.
    pub region: Region,
    /// The leased address.
    pub ip: ExitAddress,
    /// What renews the lease.
    pub drt: Compact,
    /// The hour at which that ends.
    pub drt_ends: Hour,
    /// Where the address was served last.
    pub gateway: GatewayInfo,
}

/// More than any contents need: a vector that grows leaves copies behind.
const ROOM: usize = 4096;

impl Contents {
    /// The JSON; nothing when it can't be written, which no value here is.
    pub(crate) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer(&mut *bytes, self).ok()?;
        Some(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(std::str::from_utf8(bytes).ok()?.as_bytes()).ok()
    }
}
