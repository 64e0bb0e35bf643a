//! The attack against databases that do and don't hide their order.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::knowledge::{Fact, Known};

const PERSONS: usize = 8;
const RUNS: usize = 12;

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// Everybody, in a random order.
fn shuffled() -> Vec<usize> {
    let mut keyed: Vec<_> = (0..PERSONS).map(|person| (random::<16>(), person)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, person)| person).collect()
}

/// What the persons of one run have on one side.
fn facts(fact: Fact) -> Vec<Known> {
    (0..PERSONS).map(|person| Known::new(fact, person, random::<16>())).collect()
}

fn value(known: &Known) -> Vec<u8> {
    known.values().swap_remove(0)
}

/// One side's room, filled by `fill` with values in the order in which persons arrive.
fn side(known: &[Known], arrivals: &[usize], fill: fn(&Path, &[Vec<u8>])) -> Vec<Ordering> {
    let room = TempDir::new().unwrap();
    let values: Vec<_> = arrivals.iter().map(|person| value(&known[*person])).collect();
    fill(room.path(), &values);
    observe(known, &[("state", room.path())]).unwrap()
}

fn attack(together: bool, fill: fn(&Path, &[Vec<u8>])) -> Tally {
    let mut tally = Tally::new(PERSONS);
    for _ in 0..RUNS {
        let (identity, address) = (facts(Fact::Subscription), facts(Fact::Lease));
        let first = shuffled();
        let second = if together { first.clone() } else { shuffled() };
        tally.add(guess(&side(&identity, &first, fill), &side(&address, &second, fill)));
    }
    assert!(tally.could_tell());
    tally
}

/// SQLite as it comes: row ids, a write-ahead log; four rows to a page.
fn ordinary(room: &Path, values: &[Vec<u8>]) {
    let database = Connection::open(room.join("ordinary")).unwrap();
    let mode: String =
        database.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    database.execute_batch("CREATE TABLE things (value BLOB UNIQUE, rest BLOB)").unwrap();
    for value in values {
        database.execute("INSERT INTO things VALUES (?1, zeroblob(900))", [value]).unwrap();
    }
    // As a thief finds it while the service runs: the log isn't folded in yet.
    fs::copy(room.join("ordinary"), room.join("taken")).unwrap();
    fs::copy(room.join("ordinary-wal"), room.join("taken-wal")).unwrap();
    drop(database);
}

#[test]
fn ordinary_databases_lose() {
    let tally = attack(true, ordinary);
    let winners = tally.beats_chance();
    let won = |what: &str| {
        winners.iter().any(|outcome| {
            outcome.strategy.matches(what).count() == 2 && outcome.correct == RUNS * PERSONS
        })
    };
    assert!(won("by row"), "the order of rows");
    assert!(won("-wal: "), "the order in the log");
    let pages =
        "in things, pages turned = state/ordinary: lease in things, by row, first with first";
    let across = |outcome: &Outcome| outcome.strategy.ends_with(pages);
    assert!(winners.iter().any(across), "the order in pages, which run from their ends");
}

#[test]
fn arrivals_that_have_nothing_in_common_dont_pair() {
    let tally = attack(false, ordinary);
    assert!(tally.strategies() > 50);
    let winners = tally.beats_chance();
    assert!(winners.is_empty(), "{winners:?}");
}

/// Rows without ids and written in random order; but a column tells the time.
fn stamped(room: &Path, values: &[Vec<u8>]) {
    let database = Connection::open(room.join("stamped")).unwrap();
    let table = "CREATE TABLE things (value BLOB PRIMARY KEY, at INTEGER) WITHOUT ROWID";
    database.execute_batch(table).unwrap();
    for place in shuffled() {
        let values = (&values[place], 1_700_000_000 + i64::try_from(place).unwrap());
        database.execute("INSERT INTO things VALUES (?1, ?2)", values).unwrap();
    }
}

#[test]
fn a_column_with_times_loses() {
    let winners = attack(true, stamped).beats_chance();
    assert!(winners.iter().all(|outcome| outcome.strategy.matches("by at").count() == 2));
    assert_eq!(winners.len(), 2, "forwards and backwards");
}

/// The same without the times: nothing is left to win with.
fn hidden(room: &Path, values: &[Vec<u8>]) {
    let database = Connection::open(room.join("hidden")).unwrap();
    let table = "CREATE TABLE things (value BLOB PRIMARY KEY) WITHOUT ROWID";
    database.execute_batch(table).unwrap();
    for place in shuffled() {
        database.execute("INSERT INTO things VALUES (?1)", [&values[place]]).unwrap();
    }
}

#[test]
fn hidden_orders_hold() {
    let tally = attack(true, hidden);
    let winners = tally.beats_chance();
    assert!(tally.strategies() > 0 && winners.is_empty(), "{winners:?}");
}

const MIGRATIONS: [store::Migration; 1] = [store::Migration {
    number: 1,
    name: "things",
    sql: "CREATE TABLE things (value BLOB PRIMARY KEY, rest BLOB NOT NULL) STRICT, WITHOUT ROWID",
}];

/// The services' own store: values arrive in their order, and it hides that.
fn kept(room: &Path, values: &[Vec<u8>]) {
    let database = store::Database::open(&room.join("kept"), &MIGRATIONS).unwrap();
    for value in values {
        let value = value.clone();
        let keep = database.write_blocking("keep", move |tx| {
            tx.execute("INSERT INTO things VALUES (?1, zeroblob(200))", [&value]).map(drop)
        });
        keep.map_err(|error: store::Error| error).unwrap();
    }
}

#[test]
fn the_services_store_holds() {
    let tally = attack(true, kept);
    let winners = tally.beats_chance();
    assert!(tally.strategies() > 0 && winners.is_empty(), "{winners:?}");
}

/// A log line for each person, in hex.
fn logged(room: &Path, values: &[Vec<u8>]) {
    let lines: Vec<_> =
        values.iter().map(|value| format!("got {}\n", hex::encode(value))).collect();
    fs::write(room.join("log"), lines.concat()).unwrap();
}

#[test]
fn a_log_loses() {
    assert!(!attack(true, logged).beats_chance().is_empty());
}

/// One file each. The names say nothing.
fn filed(room: &Path, values: &[Vec<u8>]) {
    for value in values {
        fs::write(room.join(hex::encode(random::<8>())), value).unwrap();
    }
    // A clock's tick may be longer than a write: set the times apart.
    for entry in fs::read_dir(room).unwrap() {
        let path = entry.unwrap().path();
        let place = values.iter().position(|value| *value == fs::read(&path).unwrap()).unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 + place as u64);
        fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    }
}

#[test]
fn times_of_files_lose() {
    let winners = attack(true, filed).beats_chance();
    assert!(winners.iter().any(|outcome| outcome.strategy.matches("files by time").count() == 2));
}
