//! The gateway's transactions, on SQLite.

use std::num::NonZero;

use coarse::{Hour, Secret};
use gateway::grants::{Grant, GrantStore as _, Granted, Kept, SqliteGrants, Wish};
use jws::Compact;
use peer_key::{PeerKey, PeerSecret, Thumbprint};
use store::{Database, Migration, params};
use tempfile::TempDir;

const NOW: Hour = Hour::new(500_000);
const ENDS: Hour = Hour::new(500_072);
const UNTIL: Hour = Hour::new(500_145);
const HERE: &str = "127.0.77.1";
const THERE: &str = "127.0.77.2";

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) fn device(seed: u8) -> PeerKey {
        PeerSecret::from_bytes(&Secret::new([seed; 32])).public()
    }

    pub(super) fn grant(seed: u8, address: &str, ends: Hour) -> Grant {
        let dat = Compact::new(format!("{seed}.{}", ends.number()));
        Grant { device: device(seed), address: address.parse().unwrap(), ends, dat }
    }

    pub(super) fn wish(by: u8, device_of: u8, now: Hour) -> Wish {
        Wish { by: device(by), device: Thumbprint::from(&device(device_of)), now }
    }

    pub(super) fn many() -> NonZero<u32> {
        NonZero::new(10).unwrap()
    }

    /// Devices 1 and 2 here, 3 there.
    pub(super) async fn store(room: &TempDir) -> SqliteGrants {
        let store = SqliteGrants::open(&room.path().join("gateway.sqlite")).unwrap();
        for (seed, address) in [(1, HERE), (2, HERE), (3, THERE)] {
            let grant = grant(seed, address, ENDS);
            let kept = store.keep(grant.clone(), many(), NOW).await.unwrap();
            assert_eq!(kept, Kept::InForce(grant));
        }
        store
    }

    /// The seeds of the devices that are left, of whose wish was granted; `None` when it wasn't.
    pub(super) fn left(granted: Granted) -> Option<Vec<u8>> {
        let Granted::Done { left, .. } = granted else { return None };
        let seed = |grant: Grant| (1..=99).find(|seed| device(*seed) == grant.device).unwrap();
        let mut seeds: Vec<u8> = left.into_iter().map(seed).collect();
        seeds.sort_unstable();
        Some(seeds)
    }
}

use fixture::{device, grant, left, many, store, wish};

#[tokio::test]
async fn a_removed_device_is_kept_no_more_until_its_hour() {
    let room = tempfile::tempdir().unwrap();
    let store = store(&room).await;
    assert_eq!(left(store.remove(wish(1, 2, NOW), UNTIL).await.unwrap()), Some(vec![1]));
    // Nor for another address, nor with a later token.
    let last = Hour::new(UNTIL.number() - 1);
    for (address, now) in [(HERE, NOW), (THERE, NOW), (HERE, last)] {
        let kept = store.keep(grant(2, address, UNTIL), many(), now).await.unwrap();
        assert_eq!(kept, Kept::Removed);
    }
    let again = grant(2, HERE, Hour::new(UNTIL.number() + 1));
    assert_eq!(store.keep(again.clone(), many(), UNTIL).await.unwrap(), Kept::InForce(again));
}

#[tokio::test]
async fn removing_again_changes_nothing() {
    let room = tempfile::tempdir().unwrap();
    let store = store(&room).await;
    store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
    let later = Hour::new(NOW.number() + 9);
    let again = store.remove(wish(1, 2, later), Hour::new(UNTIL.number() + 9)).await.unwrap();
    assert!(matches!(&again, Granted::Done { device: which, .. } if *which == device(2)));
    assert_eq!(left(again), Some(vec![1]));
    // It ends when it was to end.
    let back = grant(2, HERE, Hour::new(UNTIL.number() + 1));
    assert_eq!(store.keep(back.clone(), many(), UNTIL).await.unwrap(), Kept::InForce(back));
}

#[tokio::test]
async fn other_addresses_devices_are_as_unknown_as_nobodys() {
    let room = tempfile::tempdir().unwrap();
    let store = store(&room).await;
    store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
    let before = store.all().await.unwrap();
    for (by, device_of) in [(1, 3), (1, 9), (3, 1), (3, 2)] {
        let removed = store.remove(wish(by, device_of, NOW), UNTIL).await.unwrap();
        let restored = store.take_back(wish(by, device_of, NOW)).await.unwrap();
        assert_eq!((removed, restored), (Granted::Unknown, Granted::Unknown), "{by} {device_of}");
    }
    assert_eq!(store.all().await.unwrap(), before);
    assert_eq!(store.keep(grant(2, HERE, ENDS), many(), NOW).await.unwrap(), Kept::Removed);
    let seen = store.beside(device(3), NOW).await.unwrap();
    assert_eq!(seen, Some(vec![grant(3, THERE, ENDS)]));
}

#[tokio::test]
async fn who_has_no_live_grant_changes_and_sees_nothing() {
    let room = tempfile::tempdir().unwrap();
    let store = store(&room).await;
    store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
    let before = store.all().await.unwrap();
    // Removed, never there, ended.
    for (by, now) in [(2, NOW), (9, NOW), (1, ENDS)] {
        assert_eq!(store.remove(wish(by, 1, now), UNTIL).await.unwrap(), Granted::NoPeer);
        assert_eq!(store.take_back(wish(by, 2, now)).await.unwrap(), Granted::NoPeer);
        assert_eq!(store.beside(device(by), now).await.unwrap(), None);
    }
    assert_eq!(store.all().await.unwrap(), before);
}

#[tokio::test]
async fn a_removal_can_be_taken_back_again_and_again() {
    let room = tempfile::tempdir().unwrap();
    let store = store(&room).await;
    // What was never removed is as it was.
    assert_eq!(left(store.take_back(wish(1, 2, NOW)).await.unwrap()), Some(vec![1, 2]));
    for round in 0..2 {
        store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
        for _ in 0..2 {
            // The grant is gone all the same: a token has to bring it back.
            let taken_back = store.take_back(wish(1, 2, NOW)).await.unwrap();
            assert_eq!(left(taken_back), Some(vec![1]), "{round}");
        }
        // Before the device comes it can be removed again, too.
        store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
        assert_eq!(store.keep(grant(2, HERE, ENDS), many(), NOW).await.unwrap(), Kept::Removed);
        store.take_back(wish(1, 2, NOW)).await.unwrap();
        let back = grant(2, HERE, ENDS);
        assert_eq!(store.keep(back.clone(), many(), NOW).await.unwrap(), Kept::InForce(back));
    }
}

#[tokio::test]
async fn a_device_may_remove_itself() {
    let room = tempfile::tempdir().unwrap();
    let store = store(&room).await;
    assert_eq!(left(store.remove(wish(1, 1, NOW), UNTIL).await.unwrap()), Some(vec![2]));
    assert_eq!(store.remove(wish(1, 1, NOW), UNTIL).await.unwrap(), Granted::NoPeer);
    assert_eq!(left(store.take_back(wish(2, 1, NOW)).await.unwrap()), Some(vec![2]));
}

#[tokio::test]
async fn of_keepers_at_once_no_more_succeed_than_there_are_places() {
    let room = tempfile::tempdir().unwrap();
    let store = store(&room).await;
    let places = NonZero::new(5).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 10..30 {
        let store = store.clone();
        tasks.spawn(async move { store.keep(grant(seed, HERE, ENDS), places, NOW).await.unwrap() });
    }
    let kept = tasks.join_all().await;
    assert_eq!(kept.iter().filter(|kept| **kept == Kept::Full).count(), 17);
    assert_eq!(store.beside(device(1), NOW).await.unwrap().map(|all| all.len()), Some(5));
}

#[tokio::test]
async fn what_has_ended_is_forgotten() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("gateway.sqlite");
    let store = store(&room).await;
    store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
    store.forget_ended(Hour::new(UNTIL.number() - 1)).await.unwrap();
    assert_eq!(store.all().await.unwrap(), []);
    assert_eq!(store.keep(grant(2, HERE, UNTIL), many(), NOW).await.unwrap(), Kept::Removed);
    store.forget_ended(UNTIL).await.unwrap();
    drop(store);
    let rows = rusqlite::Connection::open(path).unwrap();
    let count = rows.query_row("SELECT count(*) FROM removed", [], |row| row.get::<_, u32>(0));
    assert_eq!(count.unwrap(), 0);
}

/// A database of before devices could be removed.
#[tokio::test]
async fn a_database_of_the_first_form_goes_on() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("gateway.sqlite");
    let sql = include_str!("../migrations/0001_grants.sql");
    let first = Database::open(&path, &[Migration { number: 1, name: "grants", sql }]).unwrap();
    let old = grant(1, HERE, ENDS);
    let row = old.clone();
    let insert = move |tx: &store::Writer<'_>| {
        tx.execute(
            "INSERT INTO grants (device, dat, address, ends_hour) VALUES (?1, ?2, ?3, ?4)",
            params![row.device.bytes(), row.dat.as_str(), row.address.bytes(), row.ends.number()],
        )
    };
    first.write::<_, store::Error, _>("insert", insert).await.unwrap();
    drop(first);
    let store = SqliteGrants::open(&path).unwrap();
    assert_eq!(store.beside(device(1), NOW).await.unwrap(), Some(vec![old]));
    store.keep(grant(2, HERE, ENDS), many(), NOW).await.unwrap();
    assert_eq!(left(store.remove(wish(1, 2, NOW), UNTIL).await.unwrap()), Some(vec![1]));
}
