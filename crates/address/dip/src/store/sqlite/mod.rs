//! The SQLite database.

mod operating;
mod rows;
mod serving;
mod survey;
mod tidying;

use std::path::Path;

use store::{Database, Error, Migration};

const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "pool", sql: include_str!("../../../migrations/0001_pool.sql") },
    Migration { number: 2, name: "life", sql: include_str!("../../../migrations/0002_life.sql") },
];

/// Rows that one job looks at, at most, so that requests needn't wait for long.
const SLICE: usize = 4096;

/// A [`DipStore`](super::DipStore) and [`PoolStore`](super::PoolStore) in one SQLite file.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// Opens the file, or makes it. Blocks while it works.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { database: Database::open(path, MIGRATIONS)? })
    }
}
