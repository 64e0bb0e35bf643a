//! The journal: a database that is restored from a day-old backup gives nothing twice and loses nothing.

use std::collections::HashSet;
use std::path::Path;

use coarse::{Week, system_rng};
use dip::store::{
    Assignment, Committed, DipStore as _, Held, PoolStore as _, Replay, Reservation, SqliteStore,
    Standing, Wish,
};
use dip::{Journal, Ledger};
use dip_api::GatewayInfo;
use dip_api::operator::{NamedGateway, NewAddress};
use lease::{LeaseId, TunnelEnd};
use peer_key::PeerSecret;
use privacy_pass::SpendHash;

const NOW: Week = Week::new(2_980);
const UNTIL: Week = Week::new(2_985);
const ENDS: Week = Week::new(2_990);

#[cfg(test)]
mod fixture {
    use super::*;

    /// Database and journal, opened as the service opens them.
    pub(super) async fn open(room: &Path) -> (Ledger<SqliteStore>, Replay) {
        let store = SqliteStore::open(&room.join("dip.sqlite")).unwrap();
        let journal = Journal::open(&room.join("journal.sqlite")).unwrap();
        Ledger::open(store, journal, NOW).await.unwrap()
    }

    pub(super) async fn with_pool(room: &Path) -> Ledger<SqliteStore> {
        let (ledger, _) = open(room).await;
        let tunnel = TunnelEnd {
            public_key: PeerSecret::random(&mut system_rng()).public(),
            endpoint: "127.0.0.1:51820".parse().unwrap(),
            inner_address: "100.64.0.2".parse().unwrap(),
            resolver: "100.64.0.1".parse().unwrap(),
        };
        let gateway = GatewayInfo { url: "http://127.0.0.1:3006".into(), tunnel };
        let named = NamedGateway { name: "one".parse().unwrap(), gateway };
        ledger.store().set_gateway(named).await.unwrap();
        let block: pool::Block = "192.0.2.0/28".parse().unwrap();
        let new = block.addresses().map(|address| NewAddress {
            address,
            region: "eu-1".parse().unwrap(),
            gateway: "one".parse().unwrap(),
        });
        ledger.store().import(new.collect(), false).await.unwrap();
        ledger
    }

    pub(super) fn token(number: u8) -> SpendHash {
        SpendHash::from_bytes([number; 32])
    }

    pub(super) async fn reserve(ledger: &Ledger<SqliteStore>, number: u8) -> Reservation {
        let wish = Wish {
            token: token(number),
            until: UNTIL,
            region: "eu-1".parse().unwrap(),
            lease: LeaseId::random(&mut system_rng()),
        };
        ledger.store().reserve(wish).await.unwrap()
    }

    pub(super) async fn held(ledger: &Ledger<SqliteStore>, number: u8) -> Held {
        match reserve(ledger, number).await {
            Reservation::Held(held) => held,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn lease(ledger: &Ledger<SqliteStore>, number: u8) -> Held {
        let held = held(ledger, number).await;
        let Held { lease, address, .. } = held;
        let bought = Assignment { token: token(number), until: UNTIL, lease, address, ends: ENDS };
        assert_eq!(ledger.commit(bought).await.unwrap(), Committed::Begun);
        Held { ends: ENDS, ..held }
    }
}

use fixture::{held, lease, open, reserve, token, with_pool};

#[tokio::test]
async fn a_day_old_database_gives_nothing_twice() {
    let room = tempfile::tempdir().unwrap();
    let ledger = with_pool(room.path()).await;
    let (kept, extended, given_back) =
        (lease(&ledger, 1).await, lease(&ledger, 2).await, lease(&ledger, 3).await);
    let reserved = held(&ledger, 4).await;
    drop(ledger);
    let (database, backup) = (room.path().join("dip.sqlite"), room.path().join("backup"));
    std::fs::copy(&database, &backup).unwrap();

    // The day after.
    let (ledger, replay) = open(room.path()).await;
    assert_eq!(replay, Replay::default());
    assert!(ledger.extend(&extended, Week::new(2_991)).await.unwrap());
    assert!(ledger.release(given_back.lease, Week::new(2_981)).await.unwrap());
    let Held { lease: id, address, .. } = reserved;
    let bought = Assignment { token: token(4), until: UNTIL, lease: id, address, ends: ENDS };
    assert_eq!(ledger.commit(bought).await.unwrap(), Committed::Begun);
    let mut today = Vec::new();
    for number in 5..9 {
        today.push(lease(&ledger, number).await);
    }
    drop(ledger);

    std::fs::copy(&backup, &database).unwrap();
    let (ledger, replay) = open(room.path()).await;
    assert_eq!(replay, Replay { tokens: 4, leases: 7, conflicts: 0 });
    // Each token still has the lease that it bought, and each lease its address.
    for (number, before) in (5..9).zip(&today) {
        assert_eq!(held(&ledger, number).await, *before);
    }
    assert_eq!(held(&ledger, 1).await, kept);
    assert_eq!(held(&ledger, 2).await.ends, Week::new(2_991));
    assert_eq!(reserve(&ledger, 3).await, Reservation::Ended);
    assert_eq!(held(&ledger, 4).await, Held { ends: ENDS, ..reserved.clone() });
    // What is given from now on is nobody's.
    let mut given: HashSet<_> = today.iter().map(|one| one.address).collect();
    given.extend([&kept, &extended, &given_back, &reserved].map(|one| one.address));
    for number in 20..26 {
        assert!(given.insert(lease(&ledger, number).await.address));
    }
    assert_eq!(given.len(), 14);
    assert_eq!(reserve(&ledger, 99).await, Reservation::Exhausted);
}

#[tokio::test]
async fn a_journal_that_was_lost_is_filled_from_the_database() {
    let room = tempfile::tempdir().unwrap();
    let ledger = with_pool(room.path()).await;
    let (first, second) = (lease(&ledger, 1).await, lease(&ledger, 2).await);
    assert!(ledger.release(second.lease, Week::new(2_981)).await.unwrap());
    held(&ledger, 3).await;
    drop(ledger);
    std::fs::remove_file(room.path().join("journal.sqlite")).unwrap();
    let (ledger, replay) = open(room.path()).await;
    assert_eq!(replay, Replay::default());
    drop(ledger);
    // Now the database is lost, but for the pool.
    std::fs::remove_file(room.path().join("dip.sqlite")).unwrap();
    std::fs::rename(room.path().join("journal.sqlite"), room.path().join("kept")).unwrap();
    drop(with_pool(room.path()).await);
    std::fs::rename(room.path().join("kept"), room.path().join("journal.sqlite")).unwrap();
    let (ledger, replay) = open(room.path()).await;
    assert_eq!(replay, Replay { tokens: 2, leases: 2, conflicts: 0 });
    let again = held(&ledger, 1).await;
    assert_eq!((again.lease, again.address, again.ends), (first.lease, first.address, ENDS));
    assert_eq!(reserve(&ledger, 2).await, Reservation::Ended);
}

#[tokio::test]
async fn what_was_noted_and_not_committed_is_made_good_at_the_next_start() {
    let room = tempfile::tempdir().unwrap();
    let ledger = with_pool(room.path()).await;
    let reserved = held(&ledger, 1).await;
    drop(ledger);
    // A crash between the two: the enclave's answer was not passed on yet.
    let Held { lease: id, address, .. } = reserved;
    let journal = Journal::open(&room.path().join("journal.sqlite")).unwrap();
    let bought = Assignment { token: token(1), until: UNTIL, lease: id, address, ends: ENDS };
    journal.note(bought).await.unwrap();
    drop(journal);
    let (ledger, replay) = open(room.path()).await;
    assert_eq!(replay, Replay { tokens: 0, leases: 1, conflicts: 0 });
    assert_eq!(ledger.commit(bought).await.unwrap(), Committed::Again);
    assert_eq!(held(&ledger, 1).await, Held { ends: ENDS, ..reserved });
}

#[tokio::test]
async fn what_came_to_nothing_is_struck() {
    let room = tempfile::tempdir().unwrap();
    let ledger = with_pool(room.path()).await;
    let mine = lease(&ledger, 1).await;
    let reserved = held(&ledger, 2).await;
    // A late request for another address than the lease has.
    let Held { lease: id, address, .. } = mine;
    let late = Assignment {
        token: token(1),
        until: UNTIL,
        lease: id,
        address: reserved.address,
        ends: Week::new(2_999),
    };
    assert_eq!(ledger.commit(late).await.unwrap(), Committed::Gone);
    drop(ledger);
    let (ledger, replay) = open(room.path()).await;
    assert_eq!(replay, Replay::default());
    assert_eq!(ledger.store().standing(id, NOW).await.unwrap(), Standing::Leased(mine));
    assert_eq!(held(&ledger, 1).await.address, address);
    assert_eq!(held(&ledger, 2).await, reserved);
}

#[tokio::test]
async fn a_journal_forgets_what_has_ended() {
    let room = tempfile::tempdir().unwrap();
    let ledger = with_pool(room.path()).await;
    let first = lease(&ledger, 1).await;
    while ledger.tidy(Week::new(2_989), Week::new(2_994)).await.unwrap() {}
    let holds = |needle: &[u8]| {
        let bytes = std::fs::read(room.path().join("journal.sqlite")).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    };
    assert!(holds(first.lease.bytes()));
    while ledger.tidy(ENDS, Week::new(2_995)).await.unwrap() {}
    assert!(!holds(first.lease.bytes()) && !holds(token(1).as_bytes()));
}
