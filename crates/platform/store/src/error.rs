//! What can go wrong with a database, and what to do about it.

use std::io;
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why an operation on the database failed. Messages name tables and jobs, never a row's content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be created or opened.
    #[error("the database file can't be opened: check the directory and its permissions")]
    Open(#[source] io::Error),
    /// Another process (or another [`Database`](crate::Database) of this one) has the file open.
    #[error("the database is in use by another process: stop that one first")]
    InUse,
    /// The file is damaged or isn't a database.
    #[error("the database file is damaged or not a database: restore it from a backup")]
    Corrupt(#[source] rusqlite::Error),
    /// The disk is full or failing.
    #[error("the disk is full or failing")]
    Disk(#[source] rusqlite::Error),
    /// A row with the same primary key or unique column exists.
    #[error("such a row exists already")]
    Duplicate,
    /// Another constraint of the schema doesn't hold.
    #[error("a constraint of the schema doesn't hold")]
    Constraint(#[source] rusqlite::Error),
    /// A query that needs a row found none.
    #[error("no such row")]
    NoRow,
    /// A statement or a row isn't what the code expects: a programming error.
    #[error("a statement failed")]
    Statement(#[source] rusqlite::Error),
    /// A statement that changes the database was given to a read.
    #[error("a read tried to write")]
    ReadOnly,
    /// A newer version of the program has migrated this file.
    #[error(
        "migration {number} is unknown here: this database needs a newer version of the program"
    )]
    Newer {
        /// The unknown migration.
        number: u32,
    },
    /// A migration's text isn't what was applied to this file.
    #[error("migration {number} was applied with another text: migrations are append-only")]
    Changed {
        /// The migration whose text differs.
        number: u32,
    },
    /// Migrations aren't numbered 1, 2, 3, ...: a programming error.
    #[error("migration {number} is out of order: they are numbered from 1 without gaps")]
    Misnumbered {
        /// The first migration with a wrong number.
        number: u32,
    },
    /// The journal of the present transaction can't be read, so that what it changed isn't known.
    #[error("the database's journal can't be read")]
    Journal(#[source] io::Error),
    /// A page isn't built as a page is: the file is damaged.
    #[error("page {page} of the database file is damaged: restore it from a backup")]
    Page {
        /// The page's number.
        page: u32,
    },
    /// SQLite was built without what this crate needs.
    #[error(
        "SQLite lacks `sqlite_dbpage`: build inside the repository, whose .cargo/config.toml asks for it"
    )]
    NoPages,
    /// A table has row ids, which would tell the order of its rows.
    #[error("table {table} must be WITHOUT ROWID: serial ids tell the order of rows")]
    SerialRows {
        /// The table.
        table: String,
    },
    /// The transaction couldn't be committed; nothing of it is stored. It may be tried again.
    #[error("the transaction was not committed: try again")]
    NotCommitted(#[source] Arc<Error>),
    /// The job panicked; nothing of it is stored.
    #[error("the job `{job}` panicked")]
    Panicked {
        /// The job's name.
        job: &'static str,
    },
    /// The database's thread is gone.
    #[error("the database is closed")]
    Closed,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return match error {
                rusqlite::Error::QueryReturnedNoRows => Self::NoRow,
                error => Self::Statement(error),
            };
        };
        match (failure.code, failure.extended_code) {
            (_, SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE) => Self::Duplicate,
            (ErrorCode::ConstraintViolation, _) => Self::Constraint(error),
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::InUse,
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => Self::Corrupt(error),
            (
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied,
                _,
            ) => Self::Disk(error),
            _ => Self::Statement(error),
        }
    }
}
