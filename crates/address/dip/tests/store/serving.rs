//! Reservations, leases, their lengthening and their end.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use coarse::{Week, system_rng};
use dip::store::{Committed, DipStore, Held, PoolStore, Reservation, Standing, Wish};
use dip_api::operator::{Alter, Change, Service};
use lease::LeaseId;
use tokio::task::JoinSet;

use crate::fixture::{
    Room, WEEK, assignment, counts, hold, later, leased, status, token, wish, with_pool,
};

async fn serve(store: &impl PoolStore, held: &[&Held], service: Service) {
    let addresses = held.iter().map(|held| held.address).collect();
    let alter = Alter { addresses, change: Change::Service(service), dry_run: false };
    store.alter(alter).await.unwrap();
}

pub(crate) async fn tokens_at_once_get_an_address_each<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/26").await;
    let mut tasks = JoinSet::new();
    // 70 tokens, each twice, for 62 addresses.
    for token in (0..70).chain(0..70) {
        let store = store.clone();
        tasks.spawn(async move { (token, store.reserve(wish(token)).await.unwrap()) });
    }
    let mut held = BTreeMap::new();
    let mut exhausted = HashSet::new();
    for (token, reservation) in tasks.join_all().await {
        match reservation {
            Reservation::Held(now) => {
                let before = held.insert(token, (now.lease, now.address));
                assert!(before.is_none_or(|before| before == (now.lease, now.address)));
            }
            other => {
                assert_eq!(other, Reservation::Exhausted);
                exhausted.insert(token);
            }
        }
    }
    let addresses: HashSet<_> = held.values().map(|(_, address)| *address).collect();
    assert_eq!((held.len(), addresses.len(), exhausted.len()), (62, 62, 8));
}

pub(crate) async fn everything_survives_a_restart<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let (reserved, lease) = (hold(&store, 1).await, leased(&store, 2, later(9)).await);
    drop(store);
    let store = room.open().await;
    assert_eq!(hold(&store, 1).await, reserved);
    assert_eq!(hold(&store, 2).await, lease);
    assert_eq!(store.standing(lease.lease, WEEK).await.unwrap(), Standing::Leased(lease));
    assert_eq!(store.standing(reserved.lease, WEEK).await.unwrap(), Standing::Unknown);
}

pub(crate) async fn a_lease_begins_once_and_ends_with_its_grant<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    // The token may be shown for longer than its first grant lasts.
    let held = hold(&store, 1).await;
    let early = Week::new(WEEK.number() - 3);
    let commit = |ends| store.commit(assignment(1, &held, ends));
    assert_eq!(commit(early).await.unwrap(), Committed::Begun);
    assert_eq!(hold(&store, 1).await.ends, early);
    assert_eq!(commit(later(9)).await.unwrap(), Committed::Again);
    assert_eq!(commit(later(8)).await.unwrap(), Committed::Again);
    assert_eq!(hold(&store, 1).await.ends, later(9));
    for (ends, then) in [(later(10), later(10)), (later(9), later(10))] {
        assert!(store.extend(held.lease, ends).await.unwrap());
        assert_eq!(hold(&store, 1).await.ends, then);
    }
    let standing = |now| store.standing(held.lease, now);
    assert!(matches!(standing(later(9)).await.unwrap(), Standing::Leased(_)));
    assert_eq!(standing(later(10)).await.unwrap(), Standing::Ended);
    let reserved = hold(&store, 2).await;
    assert!(!store.extend(reserved.lease, later(10)).await.unwrap());
    assert!(!store.release(reserved.lease, later(1)).await.unwrap());
}

pub(crate) async fn a_stranger_cannot_commit<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let (mine, other) = (hold(&store, 1).await, hold(&store, 2).await);
    let stranger = Held { lease: LeaseId::random(&mut system_rng()), ..mine.clone() };
    let elsewhere = Held { address: other.address, ..mine.clone() };
    for wrong in [
        assignment(2, &mine, later(9)),
        assignment(3, &mine, later(9)),
        assignment(1, &stranger, later(9)),
        assignment(1, &elsewhere, later(9)),
    ] {
        assert_eq!(store.commit(wrong).await.unwrap(), Committed::Gone);
    }
    assert_eq!(counts(&store, WEEK).await, [12, 2, 0, 0]);
}

pub(crate) async fn a_lease_that_was_given_back_is_not_extended<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/28").await;
    let held = leased(&store, 1, later(9)).await;
    assert!(store.release(held.lease, later(1)).await.unwrap());
    assert!(store.release(held.lease, later(2)).await.unwrap());
    assert!(!store.extend(held.lease, later(9)).await.unwrap());
    let again = store.commit(assignment(1, &held, later(9))).await.unwrap();
    assert_eq!(again, Committed::Gone);
    assert_eq!(store.standing(held.lease, WEEK).await.unwrap(), Standing::Ended);
    assert_eq!(store.reserve(wish(1)).await.unwrap(), Reservation::Ended);
    let status = status(&store, WEEK).await;
    assert_eq!((status.leased, status.grace), (0, 1));
    crate::fixture::tidy(&store, later(1)).await;
    assert_eq!(counts(&store, later(1)).await, [13, 0, 0, 1]);
    assert!(!store.release(held.lease, later(1)).await.unwrap());
}

pub(crate) async fn what_is_drained_is_kept_and_not_given<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.8/30").await;
    let held = leased(&store, 1, later(9)).await;
    let other = hold(&store, 2).await;
    serve(&store, &[&held, &other], Service::Drained).await;
    assert_eq!(hold(&store, 2).await, other);
    assert!(matches!(store.standing(held.lease, WEEK).await.unwrap(), Standing::Leased(_)));
    assert!(store.extend(held.lease, later(10)).await.unwrap());
    assert_eq!(status(&store, WEEK).await.withdrawing, 2);
    // The reservation ends, and nobody gets its address.
    crate::fixture::tidy(&store, later(1)).await;
    assert_eq!(store.reserve(wish(3)).await.unwrap(), Reservation::Exhausted);
    assert_eq!(store.regions().await.unwrap(), []);
    serve(&store, &[&other], Service::Open).await;
    assert_eq!(hold(&store, 3).await.address, other.address);
}

pub(crate) async fn a_reservation_moves_off_a_blocked_address<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.8/30").await;
    let held = hold(&store, 1).await;
    serve(&store, &[&held], Service::Blocked).await;
    let late = store.commit(assignment(1, &held, later(9))).await.unwrap();
    assert_eq!(late, Committed::Gone);
    let moved = hold(&store, 1).await;
    assert_eq!(moved.lease, held.lease);
    assert_ne!(moved.address, held.address);
    // What was ordered for the former address comes too late.
    let late = store.commit(assignment(1, &held, later(9))).await.unwrap();
    assert_eq!(late, Committed::Gone);
    let good = store.commit(assignment(1, &moved, later(9))).await.unwrap();
    assert_eq!(good, Committed::Begun);
    let status = status(&store, WEEK).await;
    assert_eq!((status.leased, status.blocked, status.total()), (1, 1, 2));
    // With nothing else to be had, it waits.
    serve(&store, &[&held], Service::Open).await;
    let second = hold(&store, 2).await;
    serve(&store, &[&second], Service::Blocked).await;
    assert_eq!(store.reserve(wish(2)).await.unwrap(), Reservation::Exhausted);
    serve(&store, &[&second], Service::Open).await;
    assert_eq!(hold(&store, 2).await, second);
}

pub(crate) async fn a_lease_of_a_blocked_address_is_withdrawn<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.8/30").await;
    let held = leased(&store, 1, later(9)).await;
    serve(&store, &[&held], Service::Blocked).await;
    assert_eq!(store.standing(held.lease, WEEK).await.unwrap(), Standing::Withdrawn);
    assert_eq!(store.reserve(wish(1)).await.unwrap(), Reservation::Withdrawn);
    serve(&store, &[&held], Service::Open).await;
    assert_eq!(hold(&store, 1).await, held);
    serve(&store, &[&held], Service::Blocked).await;
    crate::fixture::tidy(&store, later(9)).await;
    assert_eq!(status(&store, later(9)).await.blocked, 1);
    crate::fixture::tidy(&store, later(14)).await;
    let status = status(&store, later(14)).await;
    assert_eq!((status.blocked, status.available), (1, 1));
}

pub(crate) async fn draws_reach_every_address<R: Room>(room: &R) {
    let store = with_pool(room, "192.0.2.0/26").await;
    store.import(crate::fixture::new("2001:db8:7::/60", "eu-1", "one"), false).await.unwrap();
    let mut drawn = BTreeSet::new();
    for number in 0..78 {
        assert!(drawn.insert(hold(&store, number).await.address));
    }
    assert_eq!(store.reserve(wish(78)).await.unwrap(), Reservation::Exhausted);
    let elsewhere = Wish { region: "mars".parse().unwrap(), ..wish(79) };
    assert_eq!(store.reserve(elsewhere).await.unwrap(), Reservation::UnknownRegion);
    let leases = store.leases(None, 10).await.unwrap();
    assert_eq!(leases, []);
    for number in 0..3 {
        let held = hold(&store, number).await;
        store.commit(assignment(number, &held, later(9))).await.unwrap();
    }
    let first = store.leases(None, 2).await.unwrap();
    let rest = store.leases(first.last().map(|one| one.lease), 2).await.unwrap();
    let all: BTreeSet<_> = first.iter().chain(&rest).filter_map(|one| one.token).collect();
    assert_eq!((first.len(), rest.len()), (2, 1));
    assert_eq!(all, (0..3).map(token).collect());
}
