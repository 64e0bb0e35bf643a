//! What a job may do.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::failure::Fault;
use super::pool::{Lease, Pool};
use super::server::gave_up;
use super::session::Yield;
use super::tries::Tries;
use super::{Row, Value};
use crate::Error;
use crate::measure::COMMITS;

/// Runs statements: each alone, in a transaction of its own, or all of a job's in one. Statements are prepared once for each connection. Places for
/// values are `$1`, `$2`, ...
pub struct Statements(Way);

enum Way {
    Alone { pool: Arc<Pool>, job: &'static str, writes: bool },
    Within(Arc<Lease>),
}

impl Statements {
    pub(super) const fn alone(pool: Arc<Pool>, job: &'static str, writes: bool) -> Self {
        Self(Way::Alone { pool, job, writes })
    }

    /// The one row that `sql` yields, through `take`.
    ///
    /// # Errors
    /// [`Error::NoRow`] when there is none.
    pub async fn row<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        take: impl FnOnce(&Row) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        self.optional(sql, values, take).await?.ok_or(Error::NoRow)
    }

    /// The one row that `sql` yields, through `take`; `None` when there is none.
    ///
    /// # Errors
    /// As the database.
    pub async fn optional<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        take: impl FnOnce(&Row) -> Result<T, Error> + Send,
    ) -> Result<Option<T>, Error> {
        self.run(sql, values).await?.rows.first().map(take).transpose()
    }

    /// All rows that `sql` yields, each through `take`.
    ///
    /// # Errors
    /// As the database.
    pub async fn all<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        take: impl FnMut(&Row) -> Result<T, Error> + Send,
    ) -> Result<Vec<T>, Error> {
        self.run(sql, values).await?.rows.iter().map(take).collect()
    }

    /// How many rows `sql` inserted, changed or deleted.
    ///
    /// # Errors
    /// As the database.
    pub async fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Error> {
        Ok(self.run(sql, values).await?.count)
    }

    async fn run(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Yield, Error> {
        match &self.0 {
            Way::Within(lease) => lease.session.run(sql, values).await,
            Way::Alone { pool, job, writes } => alone(pool, job, *writes, sql, values).await,
        }
    }
}

/// A statement that is a transaction by itself. What only reads is asked again when the connection breaks; what writes isn't, since it may
/// have been done.
async fn alone(
    pool: &Arc<Pool>,
    job: &'static str,
    writes: bool,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Yield, Error> {
    let mut tries = Tries::default();
    loop {
        let lease = pool.lease().await.map_err(|failed| gave_up(job, failed.error))?;
        let error = match lease.session.run(sql, values).await {
            Ok(done) => {
                lease.give_back();
                COMMITS.fetch_add(u64::from(writes), Ordering::Relaxed);
                return Ok(done);
            }
            Err(error) => error,
        };
        match lease.session.take_fault() {
            Some(Fault::Refused) => {
                lease.give_back();
                return Err(error);
            }
            Some(Fault::Conflict) => lease.give_back(),
            Some(Fault::Lost) if writes => return Err(gave_up(job, Error::InDoubt)),
            Some(Fault::Lost) => drop(lease),
            Some(Fault::Odd) | None => return Err(error),
        }
        if !tries.again().await {
            return Err(gave_up(job, Error::NotCommitted(Arc::new(error))));
        }
    }
}

/// A transaction under way: it is committed when its job succeeds. It mustn't outlive the job.
pub struct Transaction(Statements);

impl Transaction {
    pub(super) const fn of(lease: Arc<Lease>) -> Self {
        Self(Statements(Way::Within(lease)))
    }

    /// Waits until no other transaction, of any instance, has locked this name, and locks it until this one ends. A lock protects what is read after it was
    /// taken: each statement sees what was committed when it began.
    ///
    /// # Errors
    /// As the database.
    pub async fn lock(&self, name: [u8; 8]) -> Result<(), Error> {
        // A bit less, so that it fits into a number with a sign. Names that share a lock wait for each other, and that is all.
        let name = u64::from_be_bytes(name) >> 1;
        self.execute("SELECT pg_advisory_xact_lock($1)", &[name.into()]).await.map(drop)
    }
}

impl Deref for Transaction {
    type Target = Statements;

    fn deref(&self) -> &Statements {
        &self.0
    }
}
