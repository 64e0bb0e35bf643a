//! What a server says of a failure, and what follows from it.

use tokio_postgres::error::SqlState;

use crate::Error;

/// What a server said of a failure. Its messages quote rows and statements, so that only this much is kept of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerFailure {
    /// The five letters of the condition (PostgreSQL's documentation, appendix A), and which constraint was meant, if one was.
    #[error("SQLSTATE {code}{}", of(.constraint.as_deref()))]
    State {
        /// The letters.
        code: String,
        /// The constraint's name in the schema.
        constraint: Option<String>,
    },
    /// The connection broke, or there was none.
    #[error("no connection: {0}")]
    Lost(String),
    /// A value, a column or an answer isn't of the kind that the program expects.
    #[error("a value isn't of the kind that is expected")]
    Kind,
}

fn of(constraint: Option<&str>) -> String {
    constraint.map(|name| format!(" ({name})")).unwrap_or_default()
}

/// What may be done after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing was done because of other transactions: it may be tried again at once.
    Conflict,
    /// The connection is gone, and with it the transaction, unless it was being committed.
    Lost,
    /// The server refused; the session is as good as before.
    Refused,
    /// Something else, after which the session isn't used any more.
    Odd,
}

/// A failed statement.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    pub(super) error: Error,
}

impl Failed {
    /// A value that the program can't read, or can't write.
    pub(super) fn kind() -> Self {
        Self { fault: Fault::Odd, error: Error::Statement(ServerFailure::Kind.into()) }
    }

    /// No server.
    pub(super) fn lost(why: impl Into<String>) -> Self {
        Self { fault: Fault::Lost, error: Error::Unreachable(ServerFailure::Lost(why.into())) }
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refusal) = error.as_db_error() else { return without_state(&error) };
        let code = refusal.code().code();
        let constraint = refusal.constraint().map(str::to_owned);
        let failure = ServerFailure::State { code: code.to_owned(), constraint };
        let state = SqlState::from_code(code);
        let is = |states: &[SqlState]| states.contains(&state);
        let in_class = |class: &str| code.starts_with(class);
        let (fault, error) =
            if is(&[SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED]) {
                (Fault::Conflict, Error::Contended)
            } else if state == SqlState::UNIQUE_VIOLATION {
                (Fault::Refused, Error::Duplicate)
            } else if in_class("23") {
                (Fault::Refused, Error::Constraint(failure.into()))
            } else if in_class("08") || in_class("57P") {
                (Fault::Lost, Error::Unreachable(failure))
            } else if in_class("28")
                || is(&[SqlState::INVALID_CATALOG_NAME, SqlState::INSUFFICIENT_PRIVILEGE])
            {
                (Fault::Odd, Error::Login(failure))
            } else if is(&[SqlState::TOO_MANY_CONNECTIONS]) {
                (Fault::Odd, Error::Unreachable(failure))
            } else if is(&[SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED]) {
                (Fault::Odd, Error::Contended)
            } else if in_class("53") || in_class("58") || is(&[SqlState::READ_ONLY_SQL_TRANSACTION])
            {
                (Fault::Odd, Error::Disk(failure.into()))
            } else if in_class("XX00") && !is(&[SqlState::INTERNAL_ERROR]) {
                (Fault::Odd, Error::Corrupt(failure.into()))
            } else {
                (Fault::Odd, Error::Statement(failure.into()))
            };
        Self { fault, error }
    }
}

/// What failed on this side, or on the way.
fn without_state(error: &tokio_postgres::Error) -> Failed {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<std::io::Error>() {
            return Failed::lost(inner.kind().to_string());
        }
        cause = inner.source();
    }
    if error.is_closed() { Failed::lost("it was closed") } else { Failed::kind() }
}
