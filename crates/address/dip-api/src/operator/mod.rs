//! What operators say to the DIP service and hear from it. Each request carries `Authorization: Bearer` with the service's operator
//! token.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/pool` | [`PoolStatus`] |
//! | `GET /api/v1/pool/survey` | [`Survey`] |
//! | `GET /api/v1/pool/addresses`, with a [`Filter`] as query | [`Page`] |
//! | `POST /api/v1/pool/import` [`PoolImport`] | [`Imported`] |
//! | `POST /api/v1/pool/alter` [`Alter`] | [`Altered`] |
//! | `POST /api/v1/pool/tidy` | [`Tidied`] |
//! | `GET`, `POST /api/v1/pool/places` [`Place`] | [`Places`] |
//! | `GET`, `POST /api/v1/gateways` [`NamedGateway`] | [`Gateways`] |
//! | `GET`, `POST /api/v1/token-keys` [`TokenKeys`] | [`KnownTokenKeys`] |
//! | `GET /api/v1/leases/at`, with [`LeaseAt`] as query | [`LeaseView`] |
//! | `POST /api/v1/leases/mark` [`MarkLease`] | [`LeaseView`] |
//! | `GET /api/v1/cases` | [`Cases`] |
//! | `POST /api/v1/cases` [`Complaint`] | [`Complained`] |

mod case;
mod place;
mod pool;
mod word;

pub use case::{Case, Cases, Complained, Complaint, LeaseAt, LeaseView, Mark, MarkLease};
pub use place::{
    GatewayName, GatewayNameError, Gateways, KnownTokenKeys, NamedGateway, Place, Places, TokenKeys,
};
pub use pool::{
    AddressView, Alter, Altered, Change, Filter, Imported, NewAddress, Page, PoolImport,
    PoolStatus, RegionStatus, RegionSurvey, Survey, Tidied, WeekCount,
};
pub use word::{AddressState, CaseAct, Category, Service, UnknownWord};

/// Counts of the pool.
pub const POOL: &str = "/api/v1/pool";
/// Counts of the pool with what they will become.
pub const POOL_SURVEY: &str = "/api/v1/pool/survey";
/// The pool's addresses, one by one.
pub const POOL_ADDRESSES: &str = "/api/v1/pool/addresses";
/// Where addresses are added.
pub const POOL_IMPORT: &str = "/api/v1/pool/import";
/// Where addresses are drained, blocked, opened again, or moved to another gateway.
pub const POOL_ALTER: &str = "/api/v1/pool/alter";
/// Where what has ended is ended at once, a part at a time.
pub const POOL_TIDY: &str = "/api/v1/pool/tidy";
/// Where it is said where regions are.
pub const PLACES: &str = "/api/v1/pool/places";
/// Where gateways are named.
pub const GATEWAYS: &str = "/api/v1/gateways";
/// Where the issuer's public keys are taken in.
pub const TOKEN_KEYS: &str = "/api/v1/token-keys";
/// The lease of an address.
pub const LEASE_AT: &str = "/api/v1/leases/at";
/// Where a lease is frozen, thawed, or its holder told something.
pub const LEASE_MARK: &str = "/api/v1/leases/mark";
/// Complaints, and what was done about them.
pub const CASES: &str = "/api/v1/cases";

/// Addresses that one request names at most.
pub const MOST_ADDRESSES: usize = 5000;
