//! Tables whose rows lie in the order of their keys, whenever they came.
//!
//! A table's file is a heap: rows lie in the order in which they came, each with the number of the transaction that wrote it, and what was deleted or
//! replaced stays there for a while. So tables are written anew from time to time: all rows in the order of the primary key, by one transaction, into new
//! files. Indexes get new files by it, too.
//!
//! `TRUNCATE` isn't for those who have looked at the clock before: to a snapshot from before, the table would be empty from then on (a dump under way would be
//! empty, without a word). Rows that come by `COPY ... FREEZE` are there for every snapshot. That takes them through this program, in pieces.

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use coarse::{Clock, Hour};
use futures_util::{SinkExt as _, TryStreamExt as _};
use rand_core::Rng as _;
use tokio::time::sleep;

use super::Server;
use super::failure::Failed;
use super::migrate::{LEDGER_TABLES, LOCKS, query};
use super::server::gave_up;
use super::session::Session;
use crate::Error;

const RESHUFFLING: i32 = 2;

/// How often a table's lock is asked for. Each time everybody else waits behind, for half a second at most.
const TRIES: u32 = 6;

/// Blocks of the sorted copy that go through this program at a time: 8 MiB.
const PIECE: i64 = 1024;

/// Reshuffling takes a thousandth of the time at most.
const SHARE: u32 = 1000;

/// An hour, give or take half of it.
const PAUSE: std::ops::Range<u64> = 1_800_000..5_400_000;

/// Tables of the service, and their primary keys.
const TABLES: &str = "SELECT conrelid::regclass::text, string_agg(format('%I', attname), ', ' ORDER BY place)
    FROM pg_constraint, unnest(conkey) WITH ORDINALITY AS key (number, place), pg_attribute
    WHERE contype = 'p' AND connamespace = 'public'::regnamespace AND attrelid = conrelid AND attnum = number
        AND conrelid::regclass::text <> ALL (string_to_array($1, ' '))
    GROUP BY conrelid ORDER BY 1";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshuffled {
    /// The rows of all tables.
    pub rows: u64,
    /// For how long others had to wait, at most.
    pub took: Duration,
}

impl Server {
    /// Writes every table anew, in the order of its key, one after the other; each waits for its transactions and is locked meanwhile. `None` when another instance is
    /// at it, or it isn't due in this hour: after one that took long, the next waits for a thousand times as long.
    ///
    /// # Errors
    /// [`Error`]; tables are as they were, or reshuffled.
    pub async fn reshuffle(&self, now: Hour) -> Result<Option<Reshuffled>, Error> {
        let lease = self.0.lease().await.map_err(|failed| gave_up("reshuffle", failed.error))?;
        let done = reshuffle(&lease.session, now).await?;
        lease.give_back();
        Ok(done)
    }

    /// Reshuffles about every hour, at random moments, for as long as it is waited for. To be run by each instance of a service: one of them does it.
    pub async fn keep_shuffled(&self, clock: &dyn Clock) {
        loop {
            let width = PAUSE.end - PAUSE.start;
            let pause = PAUSE.start + coarse::system_rng().next_u64() % width;
            sleep(Duration::from_millis(pause)).await;
            match self.reshuffle(clock.now().hour()).await {
                Ok(Some(Reshuffled { rows, took })) => {
                    tracing::debug!(rows, seconds = took.as_secs(), "reshuffled");
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the tables can't be reshuffled"),
            }
        }
    }
}

async fn reshuffle(session: &Session, now: Hour) -> Result<Option<Reshuffled>, Error> {
    let flag = |sql: String| async move {
        let found = query(session, &sql, &[], |row| Ok(row.try_get::<_, bool>(0)?)).await?;
        Ok::<_, Error>(found == [true])
    };
    if !flag(format!("SELECT pg_try_advisory_lock({LOCKS}, {RESHUFFLING})")).await? {
        return Ok(None);
    }
    let due = format!("SELECT reshuffle_due_hour <= {} FROM database_owner", now.number());
    let done = if flag(due).await? {
        let begun = Instant::now();
        let mut rows = 0;
        let ledger = LEDGER_TABLES.join(" ");
        let tables = query(session, TABLES, &[&ledger], |row| {
            Ok((row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?))
        })
        .await?;
        for (table, key) in tables {
            rows += rewrite(session, &table, &key).await?;
        }
        let took = begun.elapsed();
        let hours = (took * SHARE).as_secs().div_ceil(3600).max(1);
        let due =
            format!("UPDATE database_owner SET reshuffle_due_hour = {}", now.number() + hours);
        session.command(&due).await?;
        Some(Reshuffled { rows, took })
    } else {
        None
    };
    session.command(&format!("SELECT pg_advisory_unlock({LOCKS}, {RESHUFFLING})")).await?;
    Ok(done)
}

/// Writes one table anew; gives how many rows it has.
async fn rewrite(session: &Session, table: &str, key: &str) -> Result<u64, Error> {
    lock(session, table).await?;
    session.command("SET LOCAL statement_timeout = 0").await?;
    let copy = format!(
        "CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM {table} ORDER BY {key}"
    );
    let rows =
        session.client.execute(&copy, &[]).await.map_err(|error| session.failed(error.into()))?;
    session.command(&format!("TRUNCATE {table}")).await?;
    let size = "SELECT pg_relation_size('pg_temp.kept') / current_setting('block_size')::bigint";
    let blocks =
        query(session, size, &[], |row| Ok(row.try_get::<_, i64>(0)?)).await?.pop().unwrap_or(0);
    let mut written = 0;
    let mut from = 0;
    while from < blocks {
        let piece = copied(session, table, from, from + PIECE).await;
        written += piece.map_err(|failed| session.failed(failed))?;
        from += PIECE;
    }
    if written != rows {
        // The transaction ends with the session: nothing was done.
        return Err(session.failed(Failed::kind()));
    }
    session.command("COMMIT").await?;
    Ok(rows)
}

/// Begins a transaction and locks a table against everybody. Whoever asks for the table meanwhile waits behind us, even to read: so we don't wait for long, and
/// try again.
async fn lock(session: &Session, table: &str) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        session.command("BEGIN; SET LOCAL lock_timeout = '500ms'").await?;
        let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        match session.client.batch_execute(&lock).await.map_err(Failed::from) {
            Ok(()) => return Ok(()),
            Err(Failed { error: Error::Contended, .. }) if tries < TRIES => {
                tries += 1;
                session.command("ROLLBACK").await?;
                sleep(Duration::from_millis(coarse::system_rng().next_u64() % 2000)).await;
            }
            Err(failed) => return Err(session.failed(failed)),
        }
    }
}

/// Takes rows of some blocks of the sorted copy over into the table.
async fn copied(session: &Session, table: &str, from: i64, to: i64) -> Result<u64, Failed> {
    let out = format!(
        "COPY (SELECT * FROM pg_temp.kept WHERE ctid >= '({from},0)' AND ctid < '({to},0)') TO STDOUT (FORMAT binary)"
    );
    let mut out = pin!(session.client.copy_out(&out).await?);
    let mut piece = BytesMut::new();
    while let Some(row) = out.try_next().await? {
        piece.extend_from_slice(&row);
    }
    let into = format!("COPY {table} FROM STDIN (FORMAT binary, FREEZE)");
    let mut into = pin!(session.client.copy_in(&into).await?);
    into.feed(piece.freeze()).await?;
    Ok(into.as_mut().finish().await?)
}
