//! What the DIP service keeps: the pool, leases, spent tokens, token keys, gateways.
//!
//! [`DipStore`] is the service's whole view of its database: each method is one transaction. No row carries a
//! time finer than a week, and none tells when it came.
//!
//! ```text
//! address   free -> held -> quarantined -> free
//! lease             reserved -> leased -> (gone)
//!                   reserved -> (gone)
//! ```

mod sqlite;

pub use sqlite::SqliteStore;
pub use store::Error;

use std::fmt;
use std::str::FromStr;

use coarse::Week;
use dip_api::GatewayInfo;
use epoch_keys::PublishedKey;
use lease::{ExitAddress, LeaseId, Region};
use privacy_pass::SpendHash;

/// For how many weeks nobody gets an address whose lease ended: long enough for what was sent to its former holder to
/// stop coming.
pub const QUARANTINE_WEEKS: u32 = 4;

/// The DIP service's transactions.
pub trait DipStore: Send + Sync + 'static {
    /// Reserves an address for a token, or finds the one that it has.
    fn reserve(&self, wish: Wish) -> impl Future<Output = Result<Reservation, Error>> + Send;

    /// Turns a token's reservation into a lease until `ends`, or lengthens the lease that it is already; nothing is
    /// ever shortened. Whether there was such a reservation or lease.
    fn commit(
        &self,
        token: SpendHash,
        lease: LeaseId,
        ends: Week,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// How a lease stands in the week `now`.
    fn standing(
        &self,
        lease: LeaseId,
        now: Week,
    ) -> impl Future<Output = Result<Standing, Error>> + Send;

    /// Lengthens a lease until `ends`; nothing is ever shortened. Whether there is such a lease.
    fn extend(
        &self,
        lease: LeaseId,
        ends: Week,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Freezes or thaws the lease of an address: a frozen one gets no new tokens. Whether the address is leased.
    fn set_frozen(
        &self,
        address: ExitAddress,
        frozen: bool,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Ends what ends by the week `now`: leases (their addresses go to quarantine), reservations, quarantines, marks of
    /// tokens. Does a part at a time; whether there is more to do.
    fn tidy(&self, now: Week) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Regions with a free address, by name.
    fn regions(&self) -> impl Future<Output = Result<Vec<Region>, Error>> + Send;

    /// Counts of addresses, by region.
    fn pool(&self) -> impl Future<Output = Result<Vec<RegionStatus>, Error>> + Send;

    /// Adds free addresses. Those that the pool has already, of the same region and gateway, stay as they are.
    fn import(
        &self,
        addresses: Vec<ExitAddress>,
        region: Region,
        gateway: GatewayName,
    ) -> impl Future<Output = Result<Imported, ImportError>> + Send;

    /// Names a gateway, or changes what is known of it.
    fn set_gateway(
        &self,
        name: GatewayName,
        gateway: GatewayInfo,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Keeps token keys; one that is kept for the same epoch is replaced.
    fn keep_token_keys(
        &self,
        keys: Vec<PublishedKey>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The kept token keys, by epoch.
    fn token_keys(&self) -> impl Future<Output = Result<Vec<PublishedKey>, Error>> + Send;
}

/// What a token's holder wants, and what to remember.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The token.
    pub token: SpendHash,
    /// The week from whose start on no verifier takes the token.
    pub until: Week,
    /// Where the address shall be, unless the token has one.
    pub region: Region,
    /// A fresh id for the lease, unless the token has one.
    pub lease: LeaseId,
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The token has this address, now or from before.
    Held(Held),
    /// No address of the pool is in that region.
    UnknownRegion,
    /// All addresses of that region are taken.
    Exhausted,
    /// The token had a lease, and that has ended.
    Ended,
}

/// An address that a lease holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lease.
    pub lease: LeaseId,
    /// The address.
    pub address: ExitAddress,
    /// Where it is.
    pub region: Region,
    /// Where it is served.
    pub gateway: GatewayInfo,
    /// Whether the lease is frozen.
    pub frozen: bool,
}

/// How a lease stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no such lease; a mere reservation is none.
    Unknown,
    /// It has ended.
    Ended,
    /// It may be extended.
    Leased(Held),
}

/// How many addresses of a region are in which state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RegionStatus {
    /// The region.
    pub region: Region,
    /// To be had.
    pub free: u32,
    /// Reserved by a token, without a grant so far.
    pub reserved: u32,
    /// Leased.
    pub leased: u32,
    /// Formerly leased, and not to be had yet.
    pub quarantined: u32,
}

/// What an import did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Addresses that are new in the pool.
    pub new: usize,
    /// Addresses that were there already.
    pub known: usize,
}

/// Why an import did nothing.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nobody told about this gateway.
    #[error("there is no gateway of this name: name it with `gateway add` first")]
    UnknownGateway,
    /// An address is in the pool with another region or gateway.
    #[error("{0} is in the pool already, in another region or at another gateway")]
    Elsewhere(ExitAddress),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A gateway's name, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayName(String);

/// A text that is no [`GatewayName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a gateway's name is 1 to 32 lower-case letters, digits and hyphens")]
pub struct GatewayNameError;

impl GatewayName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GatewayName {
    type Err = GatewayNameError;

    fn from_str(name: &str) -> Result<Self, GatewayNameError> {
        let letters = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=32).contains(&name.len()) && name.bytes().all(letters) {
            Ok(Self(name.to_owned()))
        } else {
            Err(GatewayNameError)
        }
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
