//! The database: picks, concurrency, restarts, and the many rows of a week's end.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use coarse::{Week, system_rng};
use dip::store::{
    DipStore as _, Error, Held, ImportError, Imported, QUARANTINE_WEEKS, Reservation, SqliteStore,
    Standing, Wish,
};
use dip_api::GatewayInfo;
use lease::{ExitAddress, LeaseId, TunnelEnd};
use peer_key::PeerSecret;
use privacy_pass::SpendHash;
use tokio::task::JoinSet;

const WEEK: Week = Week::new(2_980);

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) fn open(room: &Path) -> SqliteStore {
        SqliteStore::open(&room.join("dip.sqlite")).unwrap()
    }

    pub(super) fn block(text: &str) -> Vec<ExitAddress> {
        text.parse::<pool::Block>().unwrap().addresses().collect()
    }

    pub(super) fn gateway() -> GatewayInfo {
        GatewayInfo {
            url: "http://127.0.0.1:3006".into(),
            tunnel: TunnelEnd {
                public_key: PeerSecret::random(&mut system_rng()).public(),
                endpoint: "[2001:db8::1]:51820".parse().unwrap(),
                inner_address: "100.64.0.2".parse().unwrap(),
                resolver: "100.64.0.1".parse().unwrap(),
            },
        }
    }

    /// A store with a block of addresses in `eu-1`.
    pub(super) async fn with_pool(room: &Path, text: &str) -> SqliteStore {
        let store = open(room);
        store.set_gateway("one".parse().unwrap(), gateway()).await.unwrap();
        let gateway = "one".parse().unwrap();
        store.import(block(text), "eu-1".parse().unwrap(), gateway).await.unwrap();
        store
    }

    pub(super) fn wish(token: u32) -> Wish {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&token.to_be_bytes());
        Wish {
            token: SpendHash::from_bytes(hash),
            until: WEEK,
            region: "eu-1".parse().unwrap(),
            lease: LeaseId::random(&mut system_rng()),
        }
    }

    pub(super) async fn hold(store: &SqliteStore, token: u32) -> Held {
        match store.reserve(wish(token)).await.unwrap() {
            Reservation::Held(held) => held,
            other => panic!("{other:?}"),
        }
    }
}

use fixture::{block, gateway, hold, open, wish, with_pool};

#[tokio::test]
async fn picks_are_random() {
    let mut first = BTreeMap::new();
    for _ in 0..60 {
        let room = tempfile::tempdir().unwrap();
        let store = with_pool(room.path(), "192.0.2.8/30").await;
        *first.entry(hold(&store, 1).await.address).or_insert(0) += 1;
    }
    // One of two addresses, 60 times: fewer than 10 of one happens once in ten million runs.
    assert_eq!(first.len(), 2);
    assert!(first.values().all(|times| *times >= 10), "{:?}", first.values());
}

#[tokio::test]
async fn tokens_at_once_get_an_address_each() {
    let room = tempfile::tempdir().unwrap();
    let store = with_pool(room.path(), "192.0.2.0/26").await;
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

#[tokio::test]
async fn everything_survives_a_restart() {
    let room = tempfile::tempdir().unwrap();
    let store = with_pool(room.path(), "192.0.2.0/28").await;
    let (reserved, leased) = (hold(&store, 1).await, hold(&store, 2).await);
    assert!(store.commit(wish(2).token, leased.lease, WEEK.next()).await.unwrap());
    drop(store);
    let store = open(room.path());
    assert_eq!(hold(&store, 1).await, reserved);
    assert_eq!(hold(&store, 2).await, leased);
    let standing = store.standing(leased.lease, WEEK).await.unwrap();
    assert_eq!(standing, Standing::Leased(leased));
}

#[tokio::test]
async fn a_gateway_that_moves_takes_its_leases_along() {
    let room = tempfile::tempdir().unwrap();
    let store = with_pool(room.path(), "192.0.2.0/28").await;
    let held = hold(&store, 1).await;
    let moved = gateway();
    store.set_gateway("one".parse().unwrap(), moved.clone()).await.unwrap();
    assert_ne!(held.gateway, moved);
    assert_eq!(hold(&store, 1).await.gateway, moved);
}

#[tokio::test]
async fn a_weeks_end_with_many_rows_is_tidied_in_parts() {
    let room = tempfile::tempdir().unwrap();
    let store = with_pool(room.path(), "192.0.2.0/24").await;
    for token in 0..140 {
        let held = hold(&store, token).await;
        if token % 2 == 0 {
            store.commit(wish(token).token, held.lease, WEEK).await.unwrap();
        }
    }
    let counts = async || {
        let pool = store.pool().await.unwrap();
        (pool[0].free, pool[0].reserved, pool[0].leased, pool[0].quarantined)
    };
    assert_eq!(counts().await, (114, 70, 70, 0));
    let mut parts = 0;
    while store.tidy(WEEK).await.unwrap() {
        parts += 1;
    }
    assert!(parts > 2, "{parts}");
    assert_eq!(counts().await, (184, 0, 0, 70));
    while store.tidy(Week::new(WEEK.number() + QUARANTINE_WEEKS)).await.unwrap() {}
    assert_eq!(counts().await, (254, 0, 0, 0));
    // The tokens' marks are gone, too: their deadline is past.
    assert!(matches!(store.reserve(wish(0)).await.unwrap(), Reservation::Held(_)));
}

#[tokio::test]
async fn imports_are_idempotent_and_never_move_an_address() {
    let room = tempfile::tempdir().unwrap();
    let store = with_pool(room.path(), "192.0.2.0/28").await;
    store.set_gateway("two".parse().unwrap(), gateway()).await.unwrap();
    let held = hold(&store, 1).await;
    let import = |text, region: &str, gateway: &str| {
        store.import(block(text), region.parse().unwrap(), gateway.parse().unwrap())
    };
    let again = import("192.0.2.0/27", "eu-1", "one").await.unwrap();
    assert_eq!(again, Imported { new: 16, known: 14 });
    assert_eq!(hold(&store, 1).await, held);
    for (region, gateway) in [("us-1", "one"), ("eu-1", "two")] {
        let refused = import("192.0.2.30/31", region, gateway).await;
        assert!(matches!(refused, Err(ImportError::Elsewhere(_))));
    }
    let refused = import("198.51.100.0/28", "eu-1", "three").await;
    assert!(matches!(refused, Err(ImportError::UnknownGateway)));
    assert_eq!(store.regions().await.unwrap(), ["eu-1".parse().unwrap()]);
    assert_eq!(store.pool().await.unwrap()[0].free, 29);
}

#[tokio::test]
async fn a_database_has_one_user() {
    let room = tempfile::tempdir().unwrap();
    let _store = open(room.path());
    let second = SqliteStore::open(&room.path().join("dip.sqlite"));
    assert!(matches!(second.err(), Some(Error::InUse)));
}
