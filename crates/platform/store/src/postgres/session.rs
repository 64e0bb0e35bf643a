//! A connection, and the statements that were prepared on it.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::TryStreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::failure::{Failed, Fault};
use super::{Row, Value, settings};
use crate::Error;

/// A connection to the server.
pub(super) struct Session {
    pub(super) client: Client,
    /// By their texts. Each is prepared once.
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// What went wrong first in the present transaction.
    fault: Mutex<Option<Fault>>,
    place: Place,
}

/// The place that a session at work takes up, until its connection has ended.
type Place = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

/// What came of a statement.
pub(super) struct Yield {
    pub(super) rows: Vec<Row>,
    /// How many rows it yielded, or inserted, changed or deleted.
    pub(super) count: u64,
}

impl Session {
    /// Connects, and looks whether server and role are as they should be.
    pub(super) async fn open(config: &Config) -> Result<Self, Failed> {
        let (client, connection) = config.connect(NoTls).await?;
        let place = Place::default();
        let taken = Arc::clone(&place);
        tokio::spawn(async move {
            // What broke it is told to those who wait for answers.
            let _ = connection.await;
            drop(lock(&taken).take());
        });
        let session = Self { client, statements: Mutex::default(), fault: Mutex::default(), place };
        settings::check(&session.client).await?;
        Ok(session)
    }

    /// Runs a statement.
    pub(super) async fn run(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Yield, Error> {
        self.try_to_run(sql, values).await.map_err(|failed| self.failed(failed))
    }

    async fn try_to_run(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Yield, Failed> {
        let prepared = lock(&self.statements).get(sql).cloned();
        let statement = match prepared {
            Some(statement) => statement,
            None => {
                let statement = self.client.prepare(sql).await?;
                lock(&self.statements).insert(sql, statement.clone());
                statement
            }
        };
        let values = values.iter().map(|value| value as &(dyn ToSql + Sync));
        let mut stream = pin!(self.client.query_raw(&statement, values).await?);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            rows.push(Row::new(row));
        }
        let count = stream.rows_affected().ok_or_else(Failed::kind)?;
        Ok(Yield { rows, count })
    }

    /// Runs statements that yield nothing and take no values.
    pub(super) async fn command(&self, sql: &str) -> Result<(), Error> {
        let done = self.client.batch_execute(sql).await;
        done.map_err(|error| self.failed(error.into()))
    }

    /// Notes what went wrong.
    pub(super) fn failed(&self, failed: Failed) -> Error {
        let Failed { fault, error } = failed;
        lock(&self.fault).get_or_insert(fault);
        error
    }

    /// What went wrong first since this was asked last.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        lock(&self.fault).take()
    }

    /// Whether the connection is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Takes up a place, or none; gives the former one.
    pub(super) fn occupy(
        &self,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<OwnedSemaphorePermit> {
        std::mem::replace(&mut *lock(&self.place), place)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
