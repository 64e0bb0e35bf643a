//! What the gateway keeps: which device may use it, until when, on which token's word; and which was removed.
//!
//! [`GrantStore`] is the gateway's whole view of its database: each method is one transaction. The token is
//! kept so that a restarted gateway believes nothing but what the enclave signed.
//!
//! ```text
//! device   unknown -> granted -> (gone)
//!                     granted -> removed -> (gone)
//! ```

mod postgres;
mod sqlite;

pub use postgres::PostgresGrants;
pub use sqlite::SqliteGrants;
pub use store::Error;

use std::num::NonZero;

use coarse::Hour;
use jws::Compact;
use lease::ExitAddress;
use peer_key::{PeerKey, Thumbprint};

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

/// What became of a grant that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// This one is in force now.
    InForce(Grant),
    /// None: the device was removed.
    Removed,
    /// None: as many devices as may use the address at a time have a grant.
    Full,
}

/// What one device wants to become of another of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who wants it.
    pub by: PeerKey,
    /// Of whom; it may be the same.
    pub device: Thumbprint,
    /// When.
    pub now: Hour,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It is so now, or was already.
    Done {
        /// The device that it was about.
        device: PeerKey,
        /// The live grants of the address.
        left: Vec<Grant>,
    },
    /// Who asked has no live grant itself.
    NoPeer,
    /// No device of the asker's address has this thumbprint.
    Unknown,
}

/// The gateway's transactions. A grant is live while its end is later than the present hour, `now`.
pub trait GrantStore: Send + Sync + 'static {
    /// Keeps a grant in place of the device's former one, unless that is for the same address and ends no earlier, or the
    /// device is removed. A device without a live grant for that address gets one only while fewer than `most` others
    /// have.
    fn keep(
        &self,
        grant: Grant,
        most: NonZero<u32>,
        now: Hour,
    ) -> impl Future<Output = Result<Kept, Error>> + Send;

    /// All grants.
    fn all(&self) -> impl Future<Output = Result<Vec<Grant>, Error>> + Send;

    /// The live grants of a device's address, its own among them; nothing when it has none.
    fn beside(
        &self,
        device: PeerKey,
        now: Hour,
    ) -> impl Future<Output = Result<Option<Vec<Grant>>, Error>> + Send;

    /// Forgets a device's grant, and lets its key in no more until the hour `until`. What is removed already stays so until
    /// the hour that it was removed for.
    fn remove(
        &self,
        wish: Wish,
        until: Hour,
    ) -> impl Future<Output = Result<Granted, Error>> + Send;

    /// Takes a removal back: a token lets the device in again.
    fn take_back(&self, wish: Wish) -> impl Future<Output = Result<Granted, Error>> + Send;

    /// Forgets these grants. One that another token has replaced meanwhile stays.
    fn forget(&self, grants: Vec<Grant>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Forgets the grants and removals that have ended by the hour `now`.
    fn forget_ended(&self, now: Hour) -> impl Future<Output = Result<(), Error>> + Send;
}
