//! What the backup service keeps: sealed backups by their locators.
//!
//! [`BackupStore`] is the service's whole view of its database: each method is one transaction. No row carries a time finer than a week,
//! and none tells when it came.

mod sqlite;

pub use sqlite::SqliteBackups;
pub use store::Error;

use std::num::NonZero;

use backup_api::{Blob, Locator};
use coarse::Week;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The backup is there.
    Kept,
    /// There was none at this place, and there are as many as there may be.
    Full,
}

/// The backup service's transactions.
pub trait BackupStore: Send + Sync + 'static {
    /// The backup at a locator. What is read of the database is of one amount, whether there is one or not.
    fn read(&self, locator: Locator) -> impl Future<Output = Result<Option<Blob>, Error>> + Send;

    /// Keeps a backup until the week `until`, in place of the former one. The very same bytes change nothing. Where there is none, a place is
    /// taken, of which there are `capacity`.
    fn write(
        &self,
        locator: Locator,
        blob: Blob,
        until: Week,
        capacity: NonZero<u32>,
    ) -> impl Future<Output = Result<Kept, Error>> + Send;

    /// Removes a backup, if there is one.
    fn remove(&self, locator: Locator) -> impl Future<Output = Result<(), Error>> + Send;

    /// Forgets backups that have ended by the week `now`, so many at a time. Whether there may be more.
    fn forget_ended(&self, now: Week) -> impl Future<Output = Result<bool, Error>> + Send;

    /// How many backups there are.
    fn count(&self) -> impl Future<Output = Result<u32, Error>> + Send;
}
