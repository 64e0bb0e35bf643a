//! What a thief of the database's files can read from them, besides the rows.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use rand_core::Rng as _;
use store::{Database, Error, Migration, params};

const SCHEMA: &[Migration] = &[Migration {
    number: 1,
    name: "tokens",
    sql: "CREATE TABLE tokens (
        id BLOB PRIMARY KEY,
        holder BLOB NOT NULL UNIQUE
    ) STRICT, WITHOUT ROWID",
}];

/// SQLite's default page.
const PAGE: usize = 4096;

type Key = [u8; 16];

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    coarse::system_rng().fill_bytes(&mut bytes);
    bytes
}

/// A row's id and its holder.
type Pair = (Key, Key);

/// Rows with random ids and holders.
fn pairs(rows: usize) -> Vec<Pair> {
    (0..rows).map(|_| (random(), random())).collect()
}

/// Inserts rows in this order, one transaction each.
fn insert(database: &Database, rows: &[Pair]) -> Result<(), Error> {
    for row in rows {
        let (id, holder) = *row;
        database.write_blocking("insert", move |tx| {
            tx.execute("INSERT INTO tokens VALUES (?1, ?2)", params![id, holder]).map(drop)
        })?;
    }
    Ok(())
}

/// Inserts rows in this order, in one transaction.
fn insert_together(database: &Database, rows: &[Pair]) -> Result<(), Error> {
    let rows = rows.to_vec();
    database.write_blocking("insert", move |tx| {
        for (id, holder) in rows {
            tx.execute("INSERT INTO tokens VALUES (?1, ?2)", params![id, holder])?;
        }
        Ok(())
    })
}

/// Inserts rows with random ids and holders, and returns them in order.
fn fill(database: &Database, rows: usize) -> Result<Vec<Pair>, Error> {
    let rows = pairs(rows);
    insert(database, &rows)?;
    Ok(rows)
}

/// The same table as SQLite keeps it by itself.
fn fill_plainly(path: &Path, rows: usize) -> Result<Vec<Pair>, Error> {
    let (connection, rows) = (rusqlite::Connection::open(path)?, pairs(rows));
    connection.execute_batch(SCHEMA.first().map_or("", |step| step.sql))?;
    for (id, holder) in &rows {
        connection.execute("INSERT INTO tokens VALUES (?1, ?2)", params![id, holder])?;
    }
    Ok(rows)
}

fn erase(database: &Database, rows: &[Pair]) -> Result<(), Error> {
    for row in rows {
        let (id, _) = *row;
        database.write_blocking("erase", move |tx| {
            tx.execute("DELETE FROM tokens WHERE id = ?1", params![id]).map(drop)
        })?;
    }
    Ok(())
}

/// A directory and the database in it.
fn room() -> Result<(tempfile::TempDir, PathBuf), Error> {
    let room = tempfile::tempdir().map_err(Error::Open)?;
    let path = room.path().join("store.db");
    Ok((room, path))
}

/// The table's pages hold the id first, the index's pages hold the holder first.
#[derive(Clone, Copy)]
enum Tree {
    Table,
    Index,
}

/// Every place of each row in the bytes of a file.
fn places(file: &[u8], rows: &[Pair], tree: Tree) -> Vec<Vec<usize>> {
    let cells = rows.iter().map(|(id, holder)| match tree {
        Tree::Table => [*id, *holder].concat(),
        Tree::Index => [*holder, *id].concat(),
    });
    let cells: Vec<_> = cells.collect();
    let mut found: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for cell in &cells {
        found.insert(cell, Vec::new());
    }
    for (place, window) in file.windows(32).enumerate() {
        if let Some(places) = found.get_mut(window) {
            places.push(place);
        }
    }
    cells.iter().map(|cell| found.remove(cell.as_slice()).unwrap_or_default()).collect()
}

/// The first place of each row.
fn first_places(file: &[u8], rows: &[Pair], tree: Tree) -> Vec<usize> {
    places(file, rows, tree).into_iter().filter_map(|places| places.first().copied()).collect()
}

/// Spearman's rank correlation of two series without ties.
fn correlation(left: &[usize], right: &[usize]) -> f64 {
    let rank = |series: &[usize], value: usize| {
        series.iter().filter(|other| **other < value).count() as f64
    };
    let n = left.len() as f64;
    let pairs = left.iter().zip(right);
    let distance: f64 = pairs.map(|(a, b)| (rank(left, *a) - rank(right, *b)).powi(2)).sum();
    1.0 - 6.0 * distance / (n * (n * n - 1.0))
}

/// The attack: the order of arrival of rows on one page from their places, as a mean over `runs`.
fn attack(
    runs: usize,
    fill: impl Fn(&Path) -> Result<Vec<Pair>, Error>,
    tree: Tree,
) -> Result<f64, Error> {
    let mut sum = 0.0;
    for _ in 0..runs {
        let (_room, path) = room()?;
        let rows = fill(&path)?;
        let file = fs::read(&path).map_err(Error::Open)?;
        let arrival: Vec<usize> = (0..rows.len()).collect();
        sum += correlation(&arrival, &first_places(&file, &rows, tree));
    }
    Ok(sum / runs as f64)
}

#[test]
fn the_attack_works_on_ordinary_databases() {
    for tree in [Tree::Table, Tree::Index] {
        let found = attack(2, |path| fill_plainly(path, 60), tree).unwrap();
        assert!(found < -0.9, "{found}");
    }
}

/// With n rows in random order the coefficient has mean 0 and deviation 1/sqrt(n-1), which is 0.13 for
/// 60 rows; the mean of 20 runs has 0.029. The bound is five of those.
#[test]
fn rows_do_not_tell_their_order() {
    for tree in [Tree::Table, Tree::Index] {
        let found = attack(20, |path| fill(&Database::open(path, SCHEMA)?, 60), tree).unwrap();
        assert!(found.abs() < 0.146, "{found}");
    }
}

/// Rows on each page that lie otherwise than in the order of their keys, from the page's end on; and how many
/// rows share a page with another.
fn out_of_order(file: &[u8], rows: &[Pair], tree: Tree) -> (usize, usize) {
    let mut pages: HashMap<usize, Vec<(Key, usize)>> = HashMap::new();
    for ((id, holder), place) in rows.iter().zip(first_places(file, rows, tree)) {
        let key = if matches!(tree, Tree::Table) { *id } else { *holder };
        pages.entry(place / PAGE).or_default().push((key, place));
    }
    let (mut wrong, mut all) = (0, 0);
    for rows in pages.values_mut() {
        rows.sort_unstable();
        all += rows.len();
        let pairs = rows.iter().zip(rows.iter().skip(1));
        wrong += pairs.filter(|((_, before), (_, after))| before < after).count();
    }
    (wrong, all)
}

fn assert_in_order(path: &Path, rows: &[Pair]) {
    let file = fs::read(path).unwrap_or_default();
    for tree in [Tree::Table, Tree::Index] {
        assert_eq!(out_of_order(&file, rows, tree), (0, rows.len()));
    }
}

/// Not by statistics: on every page, new or split or changed, rows lie in the order of their keys.
#[test]
fn every_page_is_in_its_one_layout_after_every_commit() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, SCHEMA).unwrap();
    let mut rows = Vec::new();
    for _ in 0..40 {
        rows.extend(fill(&database, 25).unwrap());
        assert_in_order(&path, &rows);
    }
    let (_other, plain) = room().unwrap();
    let rows = fill_plainly(&plain, 1000).unwrap();
    let (wrong, all) = out_of_order(&fs::read(&plain).unwrap(), &rows, Tree::Table);
    assert!(wrong > all / 3, "the measure can tell: {wrong} of {all}");
}

/// Pages that were free are taken again without a trace in the journal. (One transaction splits pages and goes on to
/// fill the halves: what SQLite has just split is in order by itself.)
#[test]
fn pages_that_were_free_get_their_one_layout_too() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, SCHEMA).unwrap();
    erase(&database, &fill(&database, 800).unwrap()).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    let mut rows = Vec::new();
    for _ in 0..2 {
        let new = pairs(300);
        insert_together(&database, &new).unwrap();
        rows.extend(new);
        assert_in_order(&path, &rows);
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), before, "free pages were taken");
    // A new process reads from the file which pages are free.
    erase(&database, &rows).unwrap();
    drop(database);
    let rows = pairs(700);
    insert_together(&Database::open(&path, SCHEMA).unwrap(), &rows).unwrap();
    assert_in_order(&path, &rows);
}

/// The same rows, whatever the order they came in, give the same bytes.
#[test]
fn the_order_of_arrival_leaves_no_trace_on_a_page() {
    let rows = pairs(70);
    let mut backwards = rows.clone();
    backwards.reverse();
    let others = pairs(9);
    let bytes = |rows: &[Pair], with_others: bool| {
        let (_room, path) = room().unwrap();
        let database = Database::open(&path, SCHEMA).unwrap();
        let (first, rest) = rows.split_at(20);
        insert(&database, first).unwrap();
        if with_others {
            insert(&database, &others).unwrap();
        }
        insert(&database, rest).unwrap();
        if with_others {
            erase(&database, &others).unwrap();
        }
        // The first page counts changes of the file.
        fs::read(&path).unwrap().split_off(PAGE)
    };
    let one = bytes(&rows, false);
    assert!(one == bytes(&backwards, false));
    assert!(one == bytes(&rows, true), "nor do rows that are gone");
}

/// What a killed process leaves: the journal with pages as they were, and the file in the middle of things.
#[test]
fn the_journal_shows_no_other_layout() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, SCHEMA).unwrap();
    let rows = fill(&database, 500).unwrap();
    let journal = PathBuf::from(format!("{}-journal", path.display()));
    let (during, at) = (journal.clone(), path.clone());
    let new = pairs(200);
    let added = new.clone();
    let seen: Result<_, Error> = database.write_blocking("insert", move |tx| {
        for (id, holder) in added {
            tx.execute("INSERT INTO tokens VALUES (?1, ?2)", params![id, holder])?;
        }
        Ok([fs::read(during).map_err(Error::Open)?, fs::read(at).map_err(Error::Open)?])
    });
    let [journal, file] = seen.unwrap();
    for tree in [Tree::Table, Tree::Index] {
        assert!(first_places(&file, &new, tree).is_empty(), "nothing is written before the commit");
        assert!(first_places(&journal, &new, tree).is_empty());
        // After a sector: records of a number, a page and a checksum.
        let records = journal.split_at(512).1.as_chunks::<{ PAGE + 8 }>().0;
        assert!(records.len() > 10);
        for record in records {
            let page = record.split_at(4).1.split_at(PAGE).0;
            let there: Vec<_> = rows
                .iter()
                .copied()
                .filter(|row| !places(page, &[*row], tree).concat().is_empty())
                .collect();
            assert_eq!(out_of_order(page, &there, tree).0, 0);
        }
    }
    assert_in_order(&path, &[rows, new].concat());
}

/// A file of an earlier version, or of another program, is laid out anew when it is opened.
#[test]
fn an_old_file_gets_the_one_layout_when_it_is_opened() {
    let (_room, path) = room().unwrap();
    drop(Database::open(&path, SCHEMA).unwrap());
    let rows = pairs(300);
    let connection = rusqlite::Connection::open(&path).unwrap();
    for (id, holder) in &rows {
        let sql = "INSERT INTO tokens VALUES (?1, ?2)";
        connection.execute(sql, params![id, holder]).unwrap();
    }
    drop(connection);
    drop(Database::open(&path, SCHEMA).unwrap());
    assert_in_order(&path, &rows);
}

#[test]
fn each_row_is_in_the_file_once_per_tree() {
    let (_room, path) = room().unwrap();
    let rows = fill(&Database::open(&path, SCHEMA).unwrap(), 300).unwrap();
    let file = fs::read(&path).unwrap();
    for tree in [Tree::Table, Tree::Index] {
        assert!(places(&file, &rows, tree).iter().all(|places| places.len() == 1));
    }
}

#[test]
fn a_deleted_row_is_gone_from_the_files() {
    let (room, path) = room().unwrap();
    let database = Database::open(&path, SCHEMA).unwrap();
    let (erased, kept) = (fill(&database, 200).unwrap(), fill(&database, 100).unwrap());
    erase(&database, &erased).unwrap();
    let files = fs::read_dir(room.path()).unwrap();
    let bytes: Vec<u8> = files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    let words: HashSet<&[u8]> = bytes.windows(16).collect();
    let is_there = |key: &Key| words.contains(key.as_slice());
    assert!(kept.iter().all(|(id, holder)| is_there(id) && is_there(holder)));
    assert!(!erased.iter().any(|(id, holder)| is_there(id) || is_there(holder)));
}

#[test]
fn the_journal_is_empty_once_a_transaction_has_ended() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, SCHEMA).unwrap();
    let journal = PathBuf::from(format!("{}-journal", path.display()));
    for number in 0..20_u8 {
        let (id, holder): Pair = (random(), random());
        let during = journal.clone();
        let result = database.write_blocking("insert", move |tx| {
            tx.execute("INSERT INTO tokens VALUES (?1, ?2)", params![id, holder])?;
            assert!(during.exists());
            if number % 2 == 0 { Ok(()) } else { Err(Error::NoRow) }
        });
        assert!(matches!((number % 2, result), (0, Ok(())) | (1, Err(Error::NoRow))));
        assert_eq!(fs::metadata(&journal).map_or(0, |file| file.len()), 0);
    }
    assert!(!PathBuf::from(format!("{}-wal", path.display())).exists());
}

/// What a kill leaves in the middle of a transaction is the state before it.
#[test]
fn a_process_killed_in_a_transaction_leaves_the_state_before_it() {
    let (room, path) = room().unwrap();
    let database = Database::open(&path, SCHEMA).unwrap();
    fill(&database, 200).unwrap();
    let snapshot = room.path().join("snapshot.db");
    let (from, to) = (path, snapshot.clone());
    let wipe: Result<_, Error> = database.write_blocking("wipe", move |tx| {
        tx.execute("DELETE FROM tokens", [])?;
        for suffix in ["", "-journal"] {
            let name = |path: &Path| format!("{}{suffix}", path.display());
            fs::copy(name(&from), name(&to)).map_err(Error::Open)?;
        }
        Ok(())
    });
    wipe.unwrap();
    let count = |database: &Database| {
        let sql = "SELECT count(*) FROM tokens";
        let count: Result<usize, Error> =
            database.read_blocking("count", move |tx| tx.row(sql, [], |row| row.get(0)));
        count.unwrap()
    };
    assert_eq!(count(&database), 0);
    assert_eq!(count(&Database::open(&snapshot, SCHEMA).unwrap()), 200);
}
