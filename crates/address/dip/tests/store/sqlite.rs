//! The suite on SQLite.

use std::collections::BTreeMap;

use dip::store::{Error, SqliteStore};
use tempfile::TempDir;

use crate::fixture::{Room, hold, with_pool};

impl Room for TempDir {
    type Store = SqliteStore;

    /// There is one instance: it is waited for until the former one has closed the file.
    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path().join("dip.sqlite")).unwrap()
    }
}

async fn room() -> TempDir {
    tempfile::tempdir().unwrap()
}

crate::all!(room());

#[tokio::test]
async fn picks_are_random() {
    let mut first = BTreeMap::new();
    for _ in 0..60 {
        let room = room().await;
        let store = with_pool(&room, "192.0.2.8/30").await;
        *first.entry(hold(&store, 1).await.address).or_insert(0) += 1;
    }
    // One of two addresses, 60 times: fewer than 10 of one happens once in ten million runs.
    assert_eq!(first.len(), 2);
    assert!(first.values().all(|times| *times >= 10), "{:?}", first.values());
}

#[tokio::test]
async fn a_database_has_one_user() {
    let room = room().await;
    let _store = room.open().await;
    let second = SqliteStore::open(&room.path().join("dip.sqlite"));
    assert!(matches!(second.err(), Some(Error::InUse)));
}

/// The released schema, with rows in every state, as the newest one has them.
#[tokio::test]
async fn a_database_of_the_first_schema_is_carried_over() {
    let room = room().await;
    let path = room.path().join("dip.sqlite");
    let first = include_str!("../../migrations/0001_pool.sql");
    let old = store::Migration { number: 1, name: "pool", sql: first };
    let database = store::Database::open(&path, &[old]).unwrap();
    let fill = |tx: &store::Writer<'_>| {
        for sql in [
            "INSERT INTO gateways VALUES ('one', 'http://127.0.0.1:3006', CAST(x'09' || zeroblob(31) AS BLOB), '127.0.0.1:1', '100.64.0.2', '100.64.0.1')",
            "INSERT INTO addresses VALUES (x'c0000201', 'eu-1', 'one', 'free', 0)",
            "INSERT INTO addresses VALUES (x'c0000202', 'eu-1', 'one', 'held', 0)",
            "INSERT INTO addresses VALUES (x'c0000203', 'eu-1', 'one', 'held', 0)",
            "INSERT INTO addresses VALUES (x'c0000204', 'eu-1', 'one', 'quarantined', 2990)",
            "INSERT INTO leases VALUES (zeroblob(16), x'c0000202', 'leased', 2995, 1)",
            "INSERT INTO leases VALUES (x'00000000000000000000000000000001', x'c0000203', 'reserved', 2990, 0)",
            "INSERT INTO spent VALUES (zeroblob(32), zeroblob(16), 2990)",
        ] {
            tx.execute(sql, [])?;
        }
        Ok::<_, Error>(())
    };
    database.write("fill", fill).await.unwrap();
    drop(database);
    let store = room.open().await;
    assert_eq!(crate::fixture::counts(&store, crate::fixture::WEEK).await, [1, 1, 1, 1]);
    let held = hold(&store, 0).await;
    assert_eq!((held.address.to_string().as_str(), held.frozen), ("192.0.2.2", true));
}
