//! What the gateway keeps: which device may use it, until when, on which token's word.
//!
//! [`GrantStore`] is the gateway's whole view of its database: each method is one transaction. The token is
//! kept so that a restarted gateway believes nothing but what the enclave signed.

mod sqlite;

pub use sqlite::SqliteGrants;
pub use store::Error;

use coarse::Hour;
use jws::Compact;
use lease::ExitAddress;
use peer_key::PeerKey;

/// A device's leave to use the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The device.
    pub device: PeerKey,
    /// The address that its traffic leaves from.
    pub address: ExitAddress,
    /// The hour at whose start it ends.
    pub ends: Hour,
    /// The token that says so.
    pub dat: Compact,
}

/// The gateway's transactions.
pub trait GrantStore: Send + Sync + 'static {
    /// Keeps a grant in place of the device's former one, unless that is for the same address and ends no earlier. Gives
    /// the grant that is in force now.
    fn keep(&self, grant: Grant) -> impl Future<Output = Result<Grant, Error>> + Send;

    /// All grants.
    fn all(&self) -> impl Future<Output = Result<Vec<Grant>, Error>> + Send;

    /// Forgets devices' grants.
    fn forget(&self, devices: Vec<PeerKey>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Forgets the grants that have ended by the hour `now`.
    fn forget_ended(&self, now: Hour) -> impl Future<Output = Result<(), Error>> + Send;
}
