//! What the DIP service keeps: the pool, leases, tokens' assignments, token keys, gateways.
//!
//! [`DipStore`] is what serving asks of the database, [`PoolStore`] what operating does: each method is one transaction, but for those that
//! say that they go on in parts. No row carries a time finer than a week, and none tells when it came.
//!
//! ```text
//! address   available ──► reserved ──► quarantine ──► available
//!                            └───────────────────────────┘      (nobody used it)
//! lease     reserved ──► leased ──► ending ──► (gone)
//!              │            └────────────────────┘
//!              └─────────────────────────────────► (gone)
//! ```

mod operating;
mod sqlite;

pub use operating::{AlterError, ImportError, PoolStore};
pub use sqlite::SqliteStore;
pub use store::Error;

use coarse::Week;
use dip_api::GatewayInfo;
use epoch_keys::PublishedKey;
use lease::{ExitAddress, LeaseId, Notice, Region};
use privacy_pass::SpendHash;

/// What serving asks of the database.
pub trait DipStore: Clone + Send + Sync + 'static {
    /// Reserves an address for a token, or finds the one that it has.
    fn reserve(&self, wish: Wish) -> impl Future<Output = Result<Reservation, Error>> + Send;

    /// Turns a token's reservation into a lease, or lengthens the lease that it is already; nothing is ever shortened.
    fn commit(
        &self,
        assignment: Assignment,
    ) -> impl Future<Output = Result<Committed, Error>> + Send;

    /// How a lease stands in the week `now`.
    fn standing(
        &self,
        lease: LeaseId,
        now: Week,
    ) -> impl Future<Output = Result<Standing, Error>> + Send;

    /// Lengthens a lease until `ends`; nothing is ever shortened. Whether there is such a lease, not given back.
    fn extend(
        &self,
        lease: LeaseId,
        ends: Week,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Has a lease end by `ends`, and nobody extend it any more. Whether there is such a lease.
    fn release(
        &self,
        lease: LeaseId,
        ends: Week,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Ends what ends by the week `now`: leases (their addresses go to quarantine until `quarantine`), reservations, quarantines, marks
    /// of tokens. Does a part at a time; whether there is more to do.
    fn tidy(&self, now: Week, quarantine: Week)
    -> impl Future<Output = Result<bool, Error>> + Send;

    /// Regions with an available address, by name.
    fn regions(&self) -> impl Future<Output = Result<Vec<Region>, Error>> + Send;

    /// The kept token keys, by epoch.
    fn token_keys(&self) -> impl Future<Output = Result<Vec<PublishedKey>, Error>> + Send;

    /// Counts leases that began, for forecasts.
    fn count_demand(
        &self,
        begun: Vec<(Region, Week, u32)>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Leases and what bought them, in the order of their ids: those after `after`, `most` of them.
    fn leases(
        &self,
        after: Option<LeaseId>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Replayed>, Error>> + Send;

    /// Makes good what a database lacks that was restored from an older state: what was leased, extended and given back since. What it
    /// has already is left as it is, and a mere reservation makes room.
    fn replay(
        &self,
        leases: Vec<Replayed>,
        now: Week,
    ) -> impl Future<Output = Result<Replay, Error>> + Send;
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
#[expect(clippy::large_enum_variant, reason = "it is nearly always the large one")]
pub enum Reservation {
    /// The token has this address, now or from before.
    Held(Held),
    /// No address of the pool is in that region.
    UnknownRegion,
    /// All addresses of that region are taken.
    Exhausted,
    /// The token had a lease, and that has ended or was given back.
    Ended,
    /// The token has a lease whose address the operator has withdrawn.
    Withdrawn,
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
    /// The week at whose start the reservation or lease ends as things stand.
    pub ends: Week,
    /// Whether the lease is frozen.
    pub frozen: bool,
    /// What its holder is to be told.
    pub notice: Option<Notice>,
}

/// A token that bought a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The token.
    pub token: SpendHash,
    /// The week from whose start on no verifier takes the token.
    pub until: Week,
    /// The lease.
    pub lease: LeaseId,
    /// Its address.
    pub address: ExitAddress,
    /// The week at whose start it ends.
    pub ends: Week,
}

/// What came of committing an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The lease began with it.
    Begun,
    /// The lease had begun before.
    Again,
    /// There is no such reservation or lease of this token, for this very address: it ended, was given back, or the address was
    /// withdrawn before anybody had it.
    Gone,
}

/// How a lease stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is nearly always the large one")]
pub enum Standing {
    /// There is no such lease; a mere reservation is none.
    Unknown,
    /// It has ended, or was given back.
    Ended,
    /// The operator has withdrawn its address.
    Withdrawn,
    /// It may be extended.
    Leased(Held),
}

/// A lease as the journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The token that bought it, unless that can't be shown any more.
    pub token: Option<SpendHash>,
    /// The week from whose start on no verifier takes the token.
    pub until: Week,
    /// The lease.
    pub lease: LeaseId,
    /// Its address.
    pub address: ExitAddress,
    /// The week at whose start it ends.
    pub ends: Week,
    /// Whether it was given back.
    pub ending: bool,
}

/// What was made good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Replay {
    /// Tokens that were marked again.
    pub tokens: usize,
    /// Leases that were there again, or longer or shorter than the database knew.
    pub leases: usize,
    /// Leases whose address another lease has, or that isn't in the pool any more; tokens that bought another lease. Nothing was done
    /// about them: somebody has to look.
    pub conflicts: usize,
}

impl Replay {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            leases: self.leases + other.leases,
            conflicts: self.conflicts + other.conflicts,
        }
    }
}
