//! What can go wrong with a database, and what to do about it.

use std::io;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::postgres::ServerFailure;

/// Why an operation on the database failed. Messages name tables and jobs, never a row's content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be created or opened.
    #[error("the database file can't be opened: check the directory and its permissions")]
    Open(#[source] io::Error),
    /// Another process (or another [`Database`](crate::Database) of this one) has the file open.
    #[error("the database is in use by another process: stop that one first")]
    InUse,
    /// The files are damaged or aren't a database.
    #[error("the database is damaged or not a database: restore it from a backup")]
    Corrupt(#[source] Cause),
    /// The disk is full or failing.
    #[error("the disk is full or failing")]
    Disk(#[source] Cause),
    /// A row with the same primary key or unique column exists.
    #[error("such a row exists already")]
    Duplicate,
    /// Another constraint of the schema doesn't hold.
    #[error("a constraint of the schema doesn't hold")]
    Constraint(#[source] Cause),
    /// A query that needs a row found none.
    #[error("no such row")]
    NoRow,
    /// A statement or a row isn't what the code expects: a programming error.
    #[error("a statement failed")]
    Statement(#[source] Cause),
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
    /// A server's URL can't be used.
    #[error("the database's URL can't be used: {0}")]
    Url(&'static str),
    /// The server doesn't answer.
    #[error("the database server can't be reached: see that it runs, and where the URL points")]
    Unreachable(#[source] ServerFailure),
    /// The server lets nobody in by what the URL says.
    #[error("the database server refuses the URL's role, password or database")]
    Login(#[source] ServerFailure),
    /// The server is set to do what would betray rows, or lose them.
    #[error("the database server has {name} = {found}, which {harm}: set {name} = {wanted}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it is.
        found: String,
        /// What comes of that.
        harm: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// The role may do what it shouldn't, or can't do what it must.
    #[error("the database role {0}: see docs/operations/postgresql.md")]
    Role(&'static str),
    /// The database holds tables of another program.
    #[error("the database holds tables of something else: give the service an empty one")]
    Foreign,
    /// The database belongs to another service.
    #[error("the database belongs to the service `{service}`: each has one of its own")]
    OtherService {
        /// Whose it is.
        service: String,
    },
    /// The server has a database of the other side of the wall.
    #[error(
        "the server also has `{database}`, which is the other side's: a server keeps one log of all that it does, so each side of the wall needs one of its own"
    )]
    OtherSide {
        /// The other side's database.
        database: String,
    },
    /// A table would tell the order or the time of its rows, or can't be kept.
    #[error("table {table} {flaw}")]
    Telling {
        /// The table.
        table: String,
        /// What is wrong with it.
        flaw: String,
    },
    /// The connection broke while the server committed.
    #[error("the connection broke during a commit: it may have been done or not; try again")]
    InDoubt,
    /// Other transactions stood in the way each time.
    #[error("other transactions stood in the way too often")]
    Contended,
    /// The job went on after one of its statements had failed; nothing of it is stored. A programming error.
    #[error("the job `{job}` went on after a statement had failed")]
    WentOn {
        /// The job's name.
        job: &'static str,
    },
}

/// What a database said of a failure, in words that quote no row.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A PostgreSQL server.
    #[error(transparent)]
    Server(#[from] ServerFailure),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return match error {
                rusqlite::Error::QueryReturnedNoRows => Self::NoRow,
                error => Self::Statement(error.into()),
            };
        };
        match (failure.code, failure.extended_code) {
            (_, SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE) => Self::Duplicate,
            (ErrorCode::ConstraintViolation, _) => Self::Constraint(error.into()),
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::InUse,
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => {
                Self::Corrupt(error.into())
            }
            (
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied,
                _,
            ) => Self::Disk(error.into()),
            _ => Self::Statement(error.into()),
        }
    }
}
