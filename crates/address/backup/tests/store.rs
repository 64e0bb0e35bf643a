//! The database: what lies where, and after many writes at once.

use std::collections::BTreeMap;
use std::path::Path;

use backup::CAPACITY;
use backup::store::{BackupStore as _, Kept, SqliteBackups};
use backup_api::{BLOB_SIZE, Blob, Locator};
use coarse::{Week, system_rng};
use rusqlite::Connection;
use tokio::task::JoinSet;

const WEEK: Week = Week::new(2_980);

#[cfg(test)]
fn random() -> (Locator, Blob) {
    let mut rng = system_rng();
    let locator = Locator::from_bytes(*coarse::Secret::<32>::random(&mut rng).expose());
    let blob = coarse::Secret::<BLOB_SIZE>::random(&mut rng);
    (locator, Blob::new(blob.expose().to_vec()).unwrap())
}

#[cfg(test)]
fn pages(path: &Path) -> BTreeMap<String, u32> {
    let database = Connection::open(path).unwrap();
    let mut statement =
        database.prepare("SELECT pagetype, count(*) FROM dbstat GROUP BY pagetype").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Pages of what is longer than a page would be numbered in the order of arrival.
#[tokio::test]
async fn every_piece_lies_inside_its_page() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("backup.sqlite");
    let store = SqliteBackups::open(&path).unwrap();
    let mut writing = JoinSet::new();
    for _ in 0..300 {
        let (store, (locator, blob)) = (store.clone(), random());
        writing.spawn(async move {
            let first = store.write(locator, random().1, WEEK, CAPACITY).await.unwrap();
            let second = store.write(locator, blob.clone(), WEEK, CAPACITY).await.unwrap();
            assert_eq!((first, second), (Kept::Kept, Kept::Kept));
            (locator, blob)
        });
    }
    let written = writing.join_all().await;
    for (locator, blob) in &written {
        assert!(store.read(*locator).await.unwrap().as_ref() == Some(blob));
    }
    assert_eq!(store.count().await.unwrap(), 300);
    drop(store);
    let pages = pages(&path);
    assert!(pages["leaf"] > 200 && !pages.contains_key("overflow"), "{pages:?}");
}

#[tokio::test]
async fn thousands_end_in_steps() {
    let room = tempfile::tempdir().unwrap();
    let store = SqliteBackups::open(&room.path().join("backup.sqlite")).unwrap();
    let mut writing = JoinSet::new();
    for number in 0..1_200 {
        let (store, (locator, blob)) = (store.clone(), random());
        let until = if number % 100 == 0 { WEEK.next() } else { WEEK };
        writing.spawn(async move { store.write(locator, blob, until, CAPACITY).await.unwrap() });
    }
    assert!(writing.join_all().await.iter().all(|kept| *kept == Kept::Kept));
    let mut steps = 0;
    while store.forget_ended(WEEK).await.unwrap() {
        steps += 1;
    }
    assert_eq!((steps, store.count().await.unwrap()), (2, 12));
    assert!(!store.forget_ended(WEEK.next()).await.unwrap());
    assert_eq!(store.count().await.unwrap(), 0);
}
