//! Random work of every kind against a model, with SQLite's own check of the file after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand_core::Rng as _;
use store::{Database, Error, Migration, params};

/// Rows from a few bytes to several pages, with one index.
const SCHEMA: &[Migration] = &[Migration {
    number: 1,
    name: "things",
    sql: "CREATE TABLE things (key BLOB PRIMARY KEY, body BLOB NOT NULL, mark INTEGER NOT NULL)
          STRICT, WITHOUT ROWID;
          CREATE INDEX things_by_mark ON things (mark)",
}];

/// The model: bodies by key.
type Model = BTreeMap<[u8; 2], Vec<u8>>;

fn below(end: u64) -> u64 {
    coarse::system_rng().next_u64() % end
}

fn body() -> Vec<u8> {
    let length = match below(20) {
        0 => below(12_000),
        1..=3 => 900 + below(200),
        _ => below(120),
    };
    let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
    coarse::system_rng().fill_bytes(&mut body);
    body
}

/// One transaction of up to 40 changes; every fifth fails in the end and changes nothing.
fn work(database: &Database, model: &mut Model) -> Result<(), Error> {
    let mut changed = model.clone();
    let mut steps = Vec::new();
    for _ in 0..=below(40) {
        let key = (below(900) as u16).to_be_bytes();
        let body = (below(5) > 1).then(body);
        match &body {
            Some(body) => drop(changed.insert(key, body.clone())),
            None => drop(changed.remove(&key)),
        }
        steps.push((key, body));
    }
    let fails = below(5) == 0;
    let done: Result<(), Error> = database.write_blocking("work", move |tx| {
        for (key, body) in steps {
            match body {
                Some(body) => tx.execute(
                    "INSERT INTO things VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET body = ?2, mark = ?3",
                    params![key, body, body.len() % 7],
                )?,
                None => tx.execute("DELETE FROM things WHERE key = ?1", params![key])?,
            };
        }
        if fails { Err(Error::NoRow) } else { Ok(()) }
    });
    match done {
        Ok(()) => *model = changed,
        Err(Error::NoRow) if fails => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn check(path: &Path, model: &Model) -> Result<(), Error> {
    let connection = rusqlite::Connection::open(path)?;
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    assert_eq!(sound, "ok");
    let mut found = Model::new();
    let mut statement = connection.prepare("SELECT key, body FROM things")?;
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (key, body) = row?;
        found.insert(key, body);
    }
    assert!(found == *model);
    Ok(())
}

#[test]
fn what_was_written_is_there_and_the_file_is_sound() {
    let room = tempfile::tempdir().unwrap();
    let (path, mut model) = (room.path().join("store.db"), Model::new());
    for _ in 0..6 {
        let database = Database::open(&path, SCHEMA).unwrap();
        for _ in 0..60 {
            work(&database, &mut model).unwrap();
            // As a killed process leaves it.
            let taken = room.path().join("taken.db");
            fs::copy(&path, &taken).unwrap();
            check(&taken, &model).unwrap();
        }
        drop(database);
        check(&path, &model).unwrap();
    }
    assert!(model.len() > 300 && fs::metadata(&path).unwrap().len() > 300_000);
}
