//! The database: a server, several instances, retries.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::failure::{Failed, Fault};
use super::migrate::{Owner, check_neighbours, migrate};
use super::pool::{Lease, Pool};
use super::settings::advise;
use super::tries::Tries;
use super::url::DatabaseUrl;
use super::{Statements, Transaction};
use crate::measure::{COMMITS, FAILURES};
use crate::{Error, Migration};

/// A handle to a service's database; clones share its connections, of which there are sixteen at most.
#[derive(Clone)]
pub struct Server(pub(super) Arc<Pool>);

impl Server {
    /// Connects to a service's own database, checks how server and role are set, and applies the `migrations` that the database lacks. Instances
    /// that do so at the same time wait for each other.
    ///
    /// # Errors
    /// [`Error`]: what is to be done about it.
    pub async fn connect(
        url: &DatabaseUrl,
        owner: Owner,
        migrations: &[Migration],
    ) -> Result<Self, Error> {
        let pool = Pool::new(url.config()?);
        let lease = pool.lease().await.map_err(|failed| failed.error)?;
        advise(&lease.session.client).await.map_err(|failed| failed.error)?;
        migrate(&lease.session, owner, migrations).await?;
        // Once more: the other side may have come at the same time.
        check_neighbours(&lease.session, owner).await?;
        lease.give_back();
        Ok(Self(pool))
    }

    /// One statement that changes nothing. `job` says what it is, for logs.
    #[must_use]
    pub fn read(&self, job: &'static str) -> Statements {
        Statements::alone(Arc::clone(&self.0), job, false)
    }

    /// One statement that is a transaction by itself. It is durable when it succeeds.
    #[must_use]
    pub fn write(&self, job: &'static str) -> Statements {
        Statements::alone(Arc::clone(&self.0), job, true)
    }

    /// Runs `work` in a transaction and waits until it is durable. An error of the work undoes what it did. When other transactions stand in the way, or the
    /// connection breaks before the commit, nothing was done and `work` is run again, a few times; what it does outside the database it does
    /// as often. `job` says what it is, for logs and errors.
    ///
    /// # Errors
    /// Those of `work`, and [`Error`]. After [`Error::InDoubt`] the work may have been done or not.
    pub async fn transaction<T, E, F, W>(&self, job: &'static str, work: F) -> Result<T, E>
    where
        F: Fn(Transaction) -> W + Send + Sync,
        W: Future<Output = Result<T, E>> + Send,
        T: Send,
        E: From<Error> + Send,
    {
        let mut tries = Tries::default();
        loop {
            let lease = self.0.lease().await.map_err(|failed| gave_up(job, failed.error))?;
            let lease = Arc::new(lease);
            let done = match lease.session.command("BEGIN").await {
                Ok(()) => work(Transaction::of(Arc::clone(&lease))).await,
                Err(error) => Err(error.into()),
            };
            let stood_in_the_way = match end(job, lease, done).await {
                End::Done(done) => return done,
                End::Again(error) => error,
            };
            if !tries.again().await {
                let cause = Error::NotCommitted(Arc::new(stood_in_the_way));
                return Err(gave_up(job, cause).into());
            }
        }
    }
}

/// How a try ended.
enum End<T, E> {
    Done(Result<T, E>),
    /// Nothing was done.
    Again(Error),
}

/// Commits or rolls back.
async fn end<T, E: From<Error>>(
    job: &'static str,
    lease: Arc<Lease>,
    done: Result<T, E>,
) -> End<T, E> {
    let value = match (lease.session.take_fault(), done) {
        (Some(Fault::Conflict), _) => {
            roll_back(lease).await;
            return End::Again(Error::Contended);
        }
        (Some(Fault::Lost), _) => return End::Again(Failed::lost("it broke").error),
        (Some(Fault::Odd), Err(error)) => return End::Done(Err(error)),
        (None | Some(Fault::Refused), Err(error)) => {
            roll_back(lease).await;
            return End::Done(Err(error));
        }
        (Some(Fault::Odd | Fault::Refused), Ok(_)) => {
            return End::Done(Err(gave_up(job, Error::WentOn { job }).into()));
        }
        (None, Ok(value)) => value,
    };
    let Err(error) = lease.session.command("COMMIT").await else {
        COMMITS.fetch_add(1, Ordering::Relaxed);
        give_back(lease);
        return End::Done(Ok(value));
    };
    match lease.session.take_fault() {
        Some(Fault::Conflict) => End::Again(error),
        Some(Fault::Lost) | None => End::Done(Err(gave_up(job, Error::InDoubt).into())),
        Some(Fault::Refused | Fault::Odd) => {
            let cause = Error::NotCommitted(Arc::new(error));
            End::Done(Err(gave_up(job, cause).into()))
        }
    }
}

async fn roll_back(lease: Arc<Lease>) {
    if lease.session.command("ROLLBACK").await.is_ok() {
        give_back(lease);
    }
}

/// A job that kept its transaction mustn't find another's there.
fn give_back(lease: Arc<Lease>) {
    if let Some(lease) = Arc::into_inner(lease) {
        lease.give_back();
    }
}

/// Counts and logs a transaction that could not begin or be committed.
pub(super) fn gave_up(job: &'static str, error: Error) -> Error {
    FAILURES.fetch_add(1, Ordering::Relaxed);
    tracing::error!(job, "a transaction was not committed");
    error
}
