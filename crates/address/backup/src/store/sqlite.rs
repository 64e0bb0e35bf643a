//! The SQLite database.

use std::num::NonZero;
use std::path::Path;

use backup_api::{BLOB_SIZE, Blob, Locator};
use coarse::Week;
use store::{Database, Error, Migration, Reader, Writer, params};

use super::{BackupStore, Kept};

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "backups",
    sql: include_str!("../../migrations/0001_backups.sql"),
}];

/// Bytes of a piece: with its key it fits a page's cell.
const PIECE: usize = BLOB_SIZE / PIECES;
const PIECES: usize = 4;
/// How many ended backups are forgotten in one transaction.
const AT_ONCE: usize = 500;

/// A [`BackupStore`] in one SQLite file.
#[derive(Clone)]
pub struct SqliteBackups(Database);

impl SqliteBackups {
    /// Opens the file, or makes it. Blocks while it works.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Database::open(path, MIGRATIONS).map(Self)
    }
}

impl BackupStore for SqliteBackups {
    async fn read(&self, locator: Locator) -> Result<Option<Blob>, Error> {
        self.0.read("read a backup", move |tx| read(tx, &locator)).await
    }

    async fn write(
        &self,
        locator: Locator,
        blob: Blob,
        until: Week,
        capacity: NonZero<u32>,
    ) -> Result<Kept, Error> {
        let write = move |tx: &Writer<'_>| match read(tx, &locator)? {
            Some(former) if former == blob => Ok(Kept::Kept),
            Some(_) => replace(tx, &locator, &blob, until),
            None if count(tx)? >= capacity.get() => Ok(Kept::Full),
            None => insert(tx, &locator, &blob, until),
        };
        self.0.write("write a backup", write).await
    }

    async fn remove(&self, locator: Locator) -> Result<(), Error> {
        self.0.write("remove a backup", move |tx| remove(tx, &locator)).await
    }

    async fn forget_ended(&self, now: Week) -> Result<bool, Error> {
        let forget = move |tx: &Writer<'_>| {
            let sql = "SELECT locator FROM backups WHERE until_week <= ?1 LIMIT ?2";
            let ended = tx.all(sql, params![now.number(), AT_ONCE as u32], |row| {
                Ok(Locator::from_bytes(row.get(0)?))
            })?;
            ended.iter().try_for_each(|locator| remove(tx, locator))?;
            Ok(ended.len() == AT_ONCE)
        };
        self.0.write("forget ended backups", forget).await
    }

    async fn count(&self) -> Result<u32, Error> {
        self.0.read("count backups", count).await
    }
}

/// Reads as many rows in any case: those of the locator, or the ones that come behind it.
fn read(tx: &Reader<'_>, locator: &Locator) -> Result<Option<Blob>, Error> {
    let sql =
        "SELECT locator, bytes FROM pieces WHERE locator >= ?1 ORDER BY locator, piece LIMIT ?2";
    let mut bytes = Vec::with_capacity(BLOB_SIZE);
    let found = tx.all(sql, params![locator.bytes(), PIECES as u32], |row| {
        bytes.extend_from_slice(row.get_ref(1)?.as_blob()?);
        row.get::<_, [u8; 32]>(0)
    })?;
    let is_there = found.len() == PIECES && found.iter().all(|one| one == locator.bytes());
    Ok(is_there.then(|| Blob::new(bytes)).flatten())
}

fn count(tx: &Reader<'_>) -> Result<u32, Error> {
    tx.row("SELECT taken FROM room WHERE one = 1", params![], |row| row.get(0))
}

fn insert(tx: &Writer<'_>, at: &Locator, blob: &Blob, until: Week) -> Result<Kept, Error> {
    let sql = "INSERT INTO backups (locator, until_week) VALUES (?1, ?2)";
    tx.execute(sql, params![at.bytes(), until.number()])?;
    for (number, piece) in pieces(blob) {
        let sql = "INSERT INTO pieces (locator, piece, bytes) VALUES (?1, ?2, ?3)";
        tx.execute(sql, params![at.bytes(), number, piece])?;
    }
    tx.execute("UPDATE room SET taken = taken + 1 WHERE one = 1", params![])?;
    Ok(Kept::Kept)
}

/// Nothing is kept for a shorter time than before.
fn replace(tx: &Writer<'_>, at: &Locator, blob: &Blob, until: Week) -> Result<Kept, Error> {
    let sql = "UPDATE backups SET until_week = max(until_week, ?2) WHERE locator = ?1";
    tx.execute(sql, params![at.bytes(), until.number()])?;
    for (number, piece) in pieces(blob) {
        let sql = "UPDATE pieces SET bytes = ?3 WHERE locator = ?1 AND piece = ?2";
        tx.execute(sql, params![at.bytes(), number, piece])?;
    }
    Ok(Kept::Kept)
}

fn remove(tx: &Writer<'_>, at: &Locator) -> Result<(), Error> {
    tx.execute("DELETE FROM pieces WHERE locator = ?1", params![at.bytes()])?;
    let removed = tx.execute("DELETE FROM backups WHERE locator = ?1", params![at.bytes()])?;
    if removed > 0 {
        tx.execute("UPDATE room SET taken = taken - 1 WHERE one = 1", params![])?;
    }
    Ok(())
}

fn pieces(blob: &Blob) -> impl Iterator<Item = (u32, &[u8])> {
    (0..).zip(blob.bytes().chunks(PIECE))
}
