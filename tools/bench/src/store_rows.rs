//! The store: rows whose order can't be read from the file, beside SQLite with the same settings and without that.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use coarse::system_rng;
use rand_core::Rng as _;
use rusqlite::Connection;
use store::{Database, Migration, params};

use crate::machine::of_process;
use crate::note;
use crate::report::Row;

/// As wide as an answer of the blind token service.
const SCHEMA: &[Migration] = &[Migration {
    number: 1,
    name: "answers",
    sql: "CREATE TABLE answers (id BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID",
}];
const INSERT: &str = "INSERT INTO answers VALUES (?1, ?2)";
/// Rows in each commit.
const GROUPS: [usize; 3] = [1, 32, 256];
/// Rows that are there before.
const BEFORE: usize = 20_000;

/// Measures inserts, for each size of a commit.
pub(crate) fn run(length: Duration) -> Result<Vec<Row>> {
    let room = tempfile::Builder::new().prefix("cloakroom-bench-").tempdir()?;
    let mut rows = Vec::new();
    for group in GROUPS {
        note(&format!("inserting {group} at a time"));
        let hidden = Hidden::open(&room.path().join(format!("hidden-{group}")))?;
        let plain = Plain::open(&room.path().join(format!("plain-{group}")))?;
        hidden.insert(BEFORE)?;
        plain.insert(BEFORE)?;
        let (mut ours, mut raw) = (Sum::default(), Sum::default());
        let begun = Instant::now();
        while begun.elapsed() < 2 * length {
            ours.add(group, || hidden.insert(group))?;
            raw.add(group, || plain.insert(group))?;
        }
        let name = format!("rows inserted whose order is hidden, {group} in each durable commit");
        let raw_name = "the same without hiding, with the same settings";
        rows.push(Row::rate(name, "1/CPU s", ours.rate(), (raw_name, raw.rate()), ours.rows));
    }
    Ok(rows)
}

#[derive(Default)]
struct Sum {
    rows: u64,
    used: Duration,
}

impl Sum {
    fn add(&mut self, rows: usize, insert: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = of_process()?;
        insert()?;
        self.used += of_process()? - before;
        self.rows += rows as u64;
        Ok(())
    }

    fn rate(&self) -> f64 {
        self.rows as f64 / self.used.as_secs_f64()
    }
}

type Values = ([u8; 16], Vec<u8>);

fn values() -> Values {
    let (mut id, mut body) = ([0; 16], vec![0; 340]);
    system_rng().fill_bytes(&mut id);
    system_rng().fill_bytes(&mut body);
    (id, body)
}

struct Hidden(Database);

impl Hidden {
    fn open(path: &Path) -> Result<Self> {
        Ok(Self(Database::open(path, SCHEMA)?))
    }

    fn insert(&self, count: usize) -> Result<()> {
        let rows: Vec<Values> = (0..count).map(|_| values()).collect();
        self.0.write_blocking("insert", move |tx| {
            for (id, body) in &rows {
                tx.execute(INSERT, params![id, body])?;
            }
            Ok::<_, store::Error>(())
        })?;
        Ok(())
    }
}

struct Plain(Connection);

impl Plain {
    fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE;
             PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -65536;",
        )?;
        connection.execute_batch(SCHEMA.first().context("a schema")?.sql)?;
        Ok(Self(connection))
    }

    fn insert(&self, count: usize) -> Result<()> {
        let rows: Vec<Values> = (0..count).map(|_| values()).collect();
        let transaction = self.0.unchecked_transaction()?;
        for (id, body) in &rows {
            transaction.prepare_cached(INSERT)?.execute(params![id, body])?;
        }
        Ok(transaction.commit()?)
    }
}
