//! SQLite: one file, one writer, rows that hide their order.

mod database;
mod layout;
mod migrate;
mod pages;
mod transaction;

pub use database::Database;
pub use transaction::{Reader, Writer};
