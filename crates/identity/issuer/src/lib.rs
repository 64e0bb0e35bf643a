//! The blind token service: signs what it can't see, once for each thing that was paid for.
//!
//! It knows a subscription by its SRT, and a token never: what it is sent is blinded. For each purpose
//! and epoch it has one key, committed to in advance by a tree ([`epoch_keys`]); a private key signs in
//! its own epoch and the one before, and is then erased. What it remembers of a draw (that
//! there was one, and the answer while the token may be spent) says nothing about the token.
//!
//! - [`KeyStore`] keeps private keys, [`FileKeyStore`] in encrypted files.
//! - [`Keys`] is the public side of all keys, [`Signers`] the private side of those that may sign now.
//! - [`IssuerStore`] keeps marks and answers, [`SqliteIssuer`] in SQLite, [`PostgresIssuer`] in PostgreSQL.
//! - [`Issuer`] decides about a draw; [`router`] speaks HTTP.

mod draw;
mod file_keys;
mod generate;
mod key_store;
mod keys;
mod postgres;
mod program;
mod routes;
mod signers;
mod sqlite;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub use draw::{Drawn, Issuer, Refusal, Wanted};
pub use file_keys::{Draft, FileKeyStore};
pub use generate::{GenerateError, generate};
pub use key_store::{Committed, KeyStore, KeyStoreError};
pub use keys::{Keys, KeysError};
pub use postgres::PostgresIssuer;
pub use program::main;
pub use routes::router;
pub use signers::{SignFailure, Signers};
pub use sqlite::SqliteIssuer;
pub use store::{
    ACCESS_SLOTS, Asked, BlindSignature, BlindedHash, Draw, DrawError, IssuerStore, Limit,
    StoreError,
};
pub use table::{DESCRIPTION, ROUTES};
