//! What [`GrantStore`] promises, on each kind of database, by two instances that take turns.

use std::num::NonZero;

use coarse::Hour;
use gateway::grants::{Error, GrantStore, Granted, Kept, SqliteGrants};
use store::{Migration, params};

use super::places::{
    ENDS, HERE, NOW, Place, THERE, device, grant, in_each_place, left, many, store, wish,
};

const UNTIL: Hour = Hour::new(500_145);

in_each_place![
    a_removed_device_is_kept_no_more_until_its_hour,
    removing_again_changes_nothing,
    other_addresses_devices_are_as_unknown_as_nobodys,
    who_has_no_live_grant_changes_and_sees_nothing,
    a_removal_can_be_taken_back_again_and_again,
    who_has_gone_to_another_address_is_unknown_at_the_former,
    a_device_may_remove_itself,
    of_keepers_at_once_no_more_succeed_than_there_are_places,
    what_has_ended_is_forgotten,
    what_was_replaced_meanwhile_is_not_forgotten,
    removals_and_arrivals_at_once_leave_nobody_who_was_removed,
];

async fn a_removed_device_is_kept_no_more_until_its_hour<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
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

async fn removing_again_changes_nothing<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
    store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
    let later = Hour::new(NOW.number() + 9);
    let again = store.remove(wish(1, 2, later), Hour::new(UNTIL.number() + 9)).await.unwrap();
    assert!(matches!(&again, Granted::Done { device: which, .. } if *which == device(2)));
    assert_eq!(left(again), Some(vec![1]));
    // It ends when it was to end.
    let back = grant(2, HERE, Hour::new(UNTIL.number() + 1));
    assert_eq!(store.keep(back.clone(), many(), UNTIL).await.unwrap(), Kept::InForce(back));
}

async fn other_addresses_devices_are_as_unknown_as_nobodys<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
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

async fn who_has_no_live_grant_changes_and_sees_nothing<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
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

async fn a_removal_can_be_taken_back_again_and_again<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
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

/// A removal that was taken back is no hold on a device that has come back elsewhere.
async fn who_has_gone_to_another_address_is_unknown_at_the_former<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
    store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
    store.take_back(wish(1, 2, NOW)).await.unwrap();
    let there = grant(2, THERE, ENDS);
    store.keep(there.clone(), many(), NOW).await.unwrap();
    for granted in [
        store.remove(wish(1, 2, NOW), UNTIL).await.unwrap(),
        store.take_back(wish(1, 2, NOW)).await.unwrap(),
    ] {
        assert_eq!(granted, Granted::Unknown);
    }
    assert!(store.all().await.unwrap().contains(&there));
    assert_eq!(left(store.remove(wish(3, 2, NOW), UNTIL).await.unwrap()), Some(vec![3]));
}

async fn a_device_may_remove_itself<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
    assert_eq!(left(store.remove(wish(1, 1, NOW), UNTIL).await.unwrap()), Some(vec![2]));
    assert_eq!(store.remove(wish(1, 1, NOW), UNTIL).await.unwrap(), Granted::NoPeer);
    assert_eq!(left(store.take_back(wish(2, 1, NOW)).await.unwrap()), Some(vec![2]));
}

async fn of_keepers_at_once_no_more_succeed_than_there_are_places<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
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

async fn what_has_ended_is_forgotten<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
    store.remove(wish(1, 2, NOW), UNTIL).await.unwrap();
    store.forget_ended(Hour::new(UNTIL.number() - 1)).await.unwrap();
    assert_eq!(store.all().await.unwrap(), []);
    assert_eq!(store.keep(grant(2, HERE, UNTIL), many(), NOW).await.unwrap(), Kept::Removed);
    store.forget_ended(UNTIL).await.unwrap();
    drop(store);
    assert_eq!(place.removals(), 0);
}

/// One instance looks at what was kept, and takes its time to see that a token isn't good any more; the device has shown another one meanwhile.
async fn what_was_replaced_meanwhile_is_not_forgotten<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
    let later = grant(1, HERE, Hour::new(ENDS.number() + 5));
    let seen = store.all().await.unwrap();
    store.keep(later.clone(), many(), NOW).await.unwrap();
    store.forget(seen).await.unwrap();
    assert_eq!(store.all().await.unwrap(), [later]);
}

async fn removals_and_arrivals_at_once_leave_nobody_who_was_removed<P: Place>() {
    let place = P::new();
    let store = store(&place).await;
    for round in 0..10 {
        let newcomer = 40 + round;
        store.keep(grant(newcomer, HERE, ENDS), many(), NOW).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..12_u64 {
            let store = store.clone();
            tasks.spawn(async move {
                if n == 5 {
                    let removed = store.remove(wish(1, newcomer, NOW), UNTIL).await.unwrap();
                    assert!(matches!(removed, Granted::Done { .. }));
                } else {
                    let again = grant(newcomer, HERE, Hour::new(ENDS.number() + n));
                    store.keep(again, many(), NOW).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        let left = store.beside(device(1), NOW).await.unwrap().unwrap();
        assert!(left.iter().all(|grant| grant.device != device(newcomer)), "{round}");
        let again = store.keep(grant(newcomer, HERE, ENDS), many(), NOW).await.unwrap();
        assert_eq!(again, Kept::Removed);
    }
}

/// A database of before devices could be removed.
#[tokio::test]
async fn a_database_of_the_first_form_goes_on() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("gateway.sqlite");
    let sql = include_str!("../../migrations/0001_grants.sql");
    let first =
        store::Database::open(&path, &[Migration { number: 1, name: "grants", sql }]).unwrap();
    let old = grant(1, HERE, ENDS);
    let row = old.clone();
    let insert = move |tx: &store::Writer<'_>| {
        tx.execute(
            "INSERT INTO grants (device, dat, address, ends_hour) VALUES (?1, ?2, ?3, ?4)",
            params![row.device.bytes(), row.dat.as_str(), row.address.bytes(), row.ends.number()],
        )
    };
    first.write::<_, Error, _>("insert", insert).await.unwrap();
    drop(first);
    let store = SqliteGrants::open(&path).unwrap();
    assert_eq!(store.beside(device(1), NOW).await.unwrap(), Some(vec![old]));
    store.keep(grant(2, HERE, ENDS), many(), NOW).await.unwrap();
    assert_eq!(left(store.remove(wish(1, 2, NOW), UNTIL).await.unwrap()), Some(vec![1]));
}
