//! SQLite with one writer, named transactions and rows that hide their order.
//!
//! Each service has one [`Database`], a single file that nobody else opens. One thread owns the
//! connection and runs jobs from a bounded queue: [`Database::write`] and [`Database::read`]. Jobs that
//! wait together are committed together, so that durability (a synced commit) is paid once for many.
//!
//! A thief of the file must not learn more than the rows say. Three things see to that:
//! - no write-ahead log: it would keep commits readable in their order until a checkpoint. The rollback
//!   journal is cut to nothing when a transaction ends;
//! - deleted rows are overwritten (`secure_delete`), and a table can't have serial row ids: every table
//!   is `WITHOUT ROWID`;
//! - a row's place inside its page would tell when it came. Before each commit the pages that changed are laid
//!   out anew, in the order of keys: callers needn't do anything for it.
//!
//! What the file system and the disk below keep of overwritten blocks is beyond this crate.

mod error;
mod measure;
mod migration;
pub mod postgres;
mod secret_file;
mod sqlite;

pub use error::{Cause, Error};
pub use measure::measure;
pub use migration::Migration;
pub use rusqlite::{Row, ToSql, named_params, params, types};
pub use secret_file::{
    SecretFileError, create_secret_file, load_or_create, private_directory, write_secret_file,
};
pub use sqlite::{Database, Reader, Writer};
