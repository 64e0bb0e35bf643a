//! The accounts service: who pays, and the receipts that prove it.
//!
//! It is the one service that knows account numbers (and of them a hash only). To everybody else a
//! customer is a subscription id inside an SRT, a receipt of three days at most. A refund ends what a
//! subscription can do simply by minting no more of them.

mod acts;
mod admin;
mod hash;
mod model;
mod postgres;
mod program;
mod routes;
mod sqlite;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub use hash::NumberHash;
pub use model::{Covered, NothingCovered, Subscription};
pub use postgres::PostgresAccounts;
pub use program::main;
pub use routes::{Accounts, router};
pub use sqlite::SqliteAccounts;
pub use store::{AccountStore, CreateError, ResetError, StoreError};
pub use table::{DESCRIPTION, ROUTES};
