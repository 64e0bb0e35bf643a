//! PostgreSQL: several instances of a service on one database.
//!
//! A service's database is its own: it says whose it is ([`Owner`]), and a server never keeps databases of both sides of the wall. Every statement is a
//! text of the program; every job is a named transaction ([`Server::transaction`]) or a single statement ([`Server::read`], [`Server::write`]), at the level READ
//! COMMITTED. What must not be decided twice at a time is decided behind a lock: of rows, or of a name
//! ([`Transaction::lock`]). Nothing here takes a snapshot and works on it while others write: see [`reshuffle`](Server::reshuffle), which
//! exchanges whole tables.
//!
//! A job fails with the same [`Error`](crate::Error)s as in SQLite. After [`InDoubt`](crate::Error::InDoubt) it isn't known whether the job was done, so every job must be one
//! that may be repeated; it is never repeated here.
//!
//! What a server shows that a file of SQLite's doesn't, and what is done about it: docs/adr/0015-postgresql.md.

mod failure;
mod migrate;
mod pool;
mod reshuffle;
mod row;
mod server;
mod session;
mod settings;
mod transaction;
mod tries;
mod url;
mod value;

pub use failure::ServerFailure;
pub use migrate::Owner;
pub use reshuffle::Reshuffled;
pub use row::Row;
pub use server::Server;
pub use transaction::{Statements, Transaction};
pub use url::{DatabaseOption, DatabaseUrl};
pub use value::Value;
