//! What a thief of the database's files can read from them, besides the rows.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use rand_core::Rng as _;
use store::{Database, Error, Migration, Table, params};

const TOKENS: Table = Table { name: "tokens", key: &["id"], indexes: &[&["holder"]] };

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

/// Inserts rows with random ids and holders, one transaction each, and returns them in order.
fn fill(database: &Database, rows: usize, scatter: bool) -> Result<Vec<Pair>, Error> {
    let mut inserted = Vec::new();
    for _ in 0..rows {
        let (id, holder): Pair = (random(), random());
        database.write_blocking("insert", move |tx| {
            tx.execute("INSERT INTO tokens VALUES (?1, ?2)", params![id, holder])?;
            if scatter {
                tx.scatter(&TOKENS, params![id], &mut coarse::system_rng())
            } else {
                Ok(())
            }
        })?;
        inserted.push((id, holder));
    }
    Ok(inserted)
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
fn attack(runs: usize, scatter: bool, tree: Tree) -> Result<f64, Error> {
    let mut sum = 0.0;
    for _ in 0..runs {
        let (_room, path) = room()?;
        let rows = fill(&Database::open(&path, SCHEMA)?, 60, scatter)?;
        let file = fs::read(&path).map_err(Error::Open)?;
        let arrival: Vec<usize> = (0..rows.len()).collect();
        sum += correlation(&arrival, &first_places(&file, &rows, tree));
    }
    Ok(sum / runs as f64)
}

#[test]
fn the_attack_works_on_rows_that_are_not_scattered() {
    for tree in [Tree::Table, Tree::Index] {
        let found = attack(2, false, tree).unwrap();
        assert!(found < -0.9, "{found}");
    }
}

/// With n rows in random order the coefficient has mean 0 and deviation 1/sqrt(n-1), which is 0.13 for
/// 60 rows; the mean of 20 runs has 0.029. The bound is five of those.
#[test]
fn scattered_rows_do_not_tell_their_order() {
    for tree in [Tree::Table, Tree::Index] {
        let found = attack(20, true, tree).unwrap();
        assert!(found.abs() < 0.146, "{found}");
    }
}

/// In a table of many pages no scattering moves all rows, but it moves all that share a page with the
/// row: their order after it has nothing to do with that before. A page has more than 40 rows
/// (deviation 0.16); the mean of 40 pages has 0.025, and the bound is five of those.
#[test]
fn scattering_a_row_shuffles_its_whole_page() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, SCHEMA).unwrap();
    let rows = fill(&database, 600, false).unwrap();
    for tree in [Tree::Table, Tree::Index] {
        let (mut sum, mut pages, mut unmoved) = (0.0, 0.0, 0);
        for row in rows.iter().step_by(15) {
            let before = first_places(&fs::read(&path).unwrap(), &rows, tree);
            let id = row.0;
            database
                .write_blocking("scatter", move |tx| {
                    tx.scatter(&TOKENS, params![id], &mut coarse::system_rng())
                })
                .unwrap();
            let after = first_places(&fs::read(&path).unwrap(), &rows, tree);
            let place = after[rows.iter().position(|other| other == row).unwrap()];
            let on_its_page = |place: usize, other: usize| place / PAGE == other / PAGE;
            let (old, new): (Vec<_>, Vec<_>) = before
                .into_iter()
                .zip(after)
                .filter(|(_, other)| on_its_page(place, *other))
                .unzip();
            // A row that was moved up into an inner page has few neighbours there.
            if old.len() > 40 {
                sum += correlation(&old, &new);
                pages += 1.0;
                unmoved += old.iter().zip(&new).filter(|(old, new)| old == new).count();
            }
        }
        let mean = sum / pages;
        assert!(pages > 30.0 && mean.abs() < 0.125, "{pages} {mean}");
        // A random order leaves one row of a page in its place on average.
        assert!(unmoved < 120, "{unmoved}");
    }
}

#[test]
fn each_row_is_in_the_file_once_per_tree() {
    let (_room, path) = room().unwrap();
    let rows = fill(&Database::open(&path, SCHEMA).unwrap(), 300, true).unwrap();
    let file = fs::read(&path).unwrap();
    for tree in [Tree::Table, Tree::Index] {
        assert!(places(&file, &rows, tree).iter().all(|places| places.len() == 1));
    }
}

#[test]
fn a_deleted_row_is_gone_from_the_files() {
    let (room, path) = room().unwrap();
    let database = Database::open(&path, SCHEMA).unwrap();
    let (erased, kept) = (fill(&database, 200, true).unwrap(), fill(&database, 100, true).unwrap());
    for (id, _) in erased.clone() {
        let erase = database.write_blocking("erase", move |tx| {
            tx.execute("DELETE FROM tokens WHERE id = ?1", params![id])
        });
        let erase: Result<usize, Error> = erase;
        assert_eq!(erase.unwrap(), 1);
    }
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
    fill(&database, 200, true).unwrap();
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
