//! The journal: what was leased, extended and given back, in a file of its own.
//!
//! A database that is restored from yesterday's backup knows nothing of today: a token that bought a lease could buy another one, and a
//! leased address be given to somebody else. So each lease goes into the journal before it is committed, and what the database lacks of it
//! is made good at the next start. Rows are sorted by the lease's random id, like the database's: their order tells nothing.

use std::path::Path;

use coarse::Week;
use lease::{ExitAddress, LeaseId};
use privacy_pass::SpendHash;
use rusqlite::types::Type;
use store::{Database, Error, Migration, Reader, Row, Writer, params};

use crate::store::{Assignment, DipStore, Replay, Replayed};

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "journal",
    sql: include_str!("../migrations/journal/0001_leases.sql"),
}];

/// Rows that one job reads or writes, at most.
const PART: usize = 1024;

/// The journal of one instance of the service.
#[derive(Clone)]
pub struct Journal {
    database: Database,
}

impl Journal {
    /// Opens the file, or makes it. Blocks while it works.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { database: Database::open(path, MIGRATIONS)? })
    }

    /// Notes that a token is about to buy a lease, or to lengthen the one that it bought.
    ///
    /// # Errors
    /// When it can't be noted: then nothing may be committed.
    pub async fn note(&self, assignment: Assignment) -> Result<(), Error> {
        let Assignment { token, until, lease, address, ends } = assignment;
        let one = Replayed { token: Some(token), until, lease, address, ends, ending: false };
        self.database.write("note", move |tx: &Writer<'_>| write(tx, &one)).await
    }

    /// Notes that nothing came of an assignment that was noted.
    ///
    /// # Errors
    /// When it can't be noted.
    pub async fn strike(&self, assignment: Assignment) -> Result<(), Error> {
        let strike = move |tx: &Writer<'_>| {
            tx.execute(
                "DELETE FROM journal WHERE lease = ?1 AND ip = ?2 AND ending = 0",
                params![assignment.lease.bytes(), assignment.address.bytes()],
            )
        };
        self.database.write("strike", strike).await.map(drop)
    }

    /// Notes that a lease is about to be lengthened.
    ///
    /// # Errors
    /// When it can't be noted: then nothing may be committed.
    pub async fn extend(&self, lease: LeaseId, ends: Week) -> Result<(), Error> {
        let extend = move |tx: &Writer<'_>| {
            tx.execute(
                "UPDATE journal SET ends = max(ends, ?2) WHERE lease = ?1 AND ending = 0",
                params![lease.bytes(), ends.number()],
            )
        };
        self.database.write("extend", extend).await.map(drop)
    }

    /// Notes that a lease is given back.
    ///
    /// # Errors
    /// When it can't be noted: then nothing may be committed.
    pub async fn release(&self, lease: LeaseId, ends: Week) -> Result<(), Error> {
        let release = move |tx: &Writer<'_>| {
            tx.execute(
                "UPDATE journal SET ends = min(ends, ?2), ending = 1 WHERE lease = ?1",
                params![lease.bytes(), ends.number()],
            )
        };
        self.database.write("release", release).await.map(drop)
    }

    /// Forgets what has ended by the week `now`, a part at a time; whether there is more to forget.
    ///
    /// # Errors
    /// The database's.
    pub async fn tidy(&self, now: Week) -> Result<bool, Error> {
        let tidy = move |tx: &Writer<'_>| {
            let forgotten = tx.execute(
                "DELETE FROM journal WHERE lease IN
                    (SELECT lease FROM journal WHERE ends <= ?1 AND until_week <= ?1 LIMIT ?2)",
                params![now.number(), PART / 4],
            )?;
            Ok(forgotten > 0)
        };
        self.database.write("tidy", tidy).await
    }

    /// Makes good what `store` lacks of the journal, and takes into the journal what it lacks of the store: before anything is served.
    ///
    /// # Errors
    /// Those of either database; what was made good until then stays so.
    pub async fn reconcile(&self, store: &impl DipStore, now: Week) -> Result<Replay, Error> {
        let mut replay = Replay::default();
        let mut after = None;
        loop {
            let part = self.database.read("replay", move |tx| part(tx, after)).await?;
            let Some(last) = part.last() else { break };
            after = Some(last.lease);
            replay = replay.and(store.replay(part, now).await?);
        }
        let mut after = None;
        loop {
            let leases = store.leases(after, PART).await?;
            let Some(last) = leases.last() else { return Ok(replay) };
            after = Some(last.lease);
            let take = move |tx: &Writer<'_>| leases.iter().try_for_each(|one| take_in(tx, one));
            self.database.write("take in", take).await?;
        }
    }
}

fn write(tx: &Writer<'_>, one: &Replayed) -> Result<(), Error> {
    // A reservation moves to another address when the operator withdraws the one that it had; a lease never does.
    tx.execute(
        "INSERT INTO journal (lease, token_hash, until_week, ip, ends, ending)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (lease) DO UPDATE SET token_hash = coalesce(?2, token_hash),
            until_week = max(until_week, ?3), ip = ?4, ends = max(ends, ?5) WHERE ending = 0",
        params![
            one.lease.bytes(),
            one.token.as_ref().map(SpendHash::as_bytes),
            one.until.number(),
            one.address.bytes(),
            one.ends.number(),
            one.ending
        ],
    )?;
    Ok(())
}

/// A lease as the store has it, which has the last word: the journal may be the older of the two.
fn take_in(tx: &Writer<'_>, one: &Replayed) -> Result<(), Error> {
    let same = tx.optional(
        "SELECT ip = ?2 AND ends = ?3 AND ending = ?4 FROM journal WHERE lease = ?1",
        params![one.lease.bytes(), one.address.bytes(), one.ends.number(), one.ending],
        |row| row.get::<_, bool>(0),
    )?;
    if same != Some(true) {
        let known = "DELETE FROM journal WHERE lease = ?1";
        tx.execute(known, params![one.lease.bytes()])?;
        write(tx, one)?;
    }
    Ok(())
}

fn part(tx: &Reader<'_>, after: Option<LeaseId>) -> Result<Vec<Replayed>, Error> {
    let after = after.map(|lease| lease.bytes().to_vec()).unwrap_or_default();
    tx.all(
        "SELECT token_hash, until_week, lease, ip, ends, ending FROM journal
         WHERE lease > ?1 ORDER BY lease LIMIT ?2",
        params![after, PART],
        |row| {
            Ok(Replayed {
                token: row.get::<_, Option<[u8; 32]>>(0)?.map(SpendHash::from_bytes),
                until: Week::new(row.get(1)?),
                lease: LeaseId::from_bytes(row.get(2)?),
                address: address(row, 3)?,
                ends: Week::new(row.get(4)?),
                ending: row.get(5)?,
            })
        },
    )
}

fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<ExitAddress> {
    ExitAddress::from_bytes(row.get_ref(column)?.as_blob()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
    })
}
