//! What operating asks of the database.

use coarse::Week;
use dip_api::operator::{
    Alter, Altered, Case, Complaint, Filter, GatewayName, Imported, LeaseView, MarkLease,
    NamedGateway, NewAddress, Page, Place, RegionSurvey,
};
use epoch_keys::PublishedKey;
use lease::ExitAddress;

use super::Error;

/// What operating asks of the database. What looks at the whole pool (`survey`, `addresses`) does so in parts, so that requests needn't
/// wait: it sees addresses one after the other, not all at one moment.
pub trait PoolStore: Clone + Send + Sync + 'static {
    /// Counts all addresses, by region.
    fn survey(&self, now: Week) -> impl Future<Output = Result<Vec<RegionSurvey>, Error>> + Send;

    /// The first `most` addresses that pass the filter, in their order.
    fn addresses(
        &self,
        filter: Filter,
        now: Week,
        most: usize,
    ) -> impl Future<Output = Result<Page, Error>> + Send;

    /// Adds addresses: all of them or none. Those that are there already are left as they are.
    fn import(
        &self,
        addresses: Vec<NewAddress>,
        dry_run: bool,
    ) -> impl Future<Output = Result<Imported, ImportError>> + Send;

    /// Changes addresses, all of them or none. May be repeated.
    fn alter(&self, alter: Alter) -> impl Future<Output = Result<Altered, AlterError>> + Send;

    /// Where regions are, by name.
    fn places(&self) -> impl Future<Output = Result<Vec<Place>, Error>> + Send;

    /// Says where a region is, which may still be without addresses.
    fn set_place(&self, place: Place) -> impl Future<Output = Result<(), Error>> + Send;

    /// All gateways, by name.
    fn gateways(&self) -> impl Future<Output = Result<Vec<NamedGateway>, Error>> + Send;

    /// Adds a gateway, or changes what is known of it.
    fn set_gateway(&self, gateway: NamedGateway) -> impl Future<Output = Result<(), Error>> + Send;

    /// Keeps token keys, in the place of older ones of the same epochs.
    fn keep_token_keys(
        &self,
        keys: Vec<PublishedKey>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The lease of an address, or reservation.
    fn lease_at(
        &self,
        address: ExitAddress,
        now: Week,
    ) -> impl Future<Output = Result<Option<LeaseView>, Error>> + Send;

    /// Freezes or thaws the lease of an address, or has its holder told something, and counts the act if it changes anything. `None`
    /// when the address isn't leased: a mere reservation is no lease.
    fn mark(
        &self,
        mark: MarkLease,
        now: Week,
    ) -> impl Future<Output = Result<Option<LeaseView>, Error>> + Send;

    /// Counts a complaint, and says what lease it is about.
    fn complain(
        &self,
        complaint: Complaint,
        now: Week,
    ) -> impl Future<Output = Result<Option<LeaseView>, Error>> + Send;

    /// All counts of complaints and acts, by week.
    fn cases(&self) -> impl Future<Output = Result<Vec<Case>, Error>> + Send;
}

/// Why nothing was added to the pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Such a gateway isn't known.
    #[error("there is no gateway {0}: add it first")]
    UnknownGateway(GatewayName),
    /// An address is there already, in another region or at another gateway.
    #[error("{0} is in the pool already, elsewhere: the address can be moved to another gateway")]
    Elsewhere(ExitAddress),
    /// One lies in the other.
    #[error("{new} overlaps with {old}, which is in the pool already")]
    Overlaps {
        /// What was to be added.
        new: ExitAddress,
        /// What is there.
        old: ExitAddress,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why nothing was changed, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlterError {
    /// Such a gateway isn't known.
    #[error("there is no gateway {0}: add it first")]
    UnknownGateway(GatewayName),
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
}
