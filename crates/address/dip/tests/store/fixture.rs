//! A database that can be opened again, and what the tests put into it.

use coarse::{Week, system_rng};
use dip::store::{Assignment, Committed, DipStore, Held, PoolStore, Reservation, Wish};
use dip_api::GatewayInfo;
use dip_api::operator::{NamedGateway, NewAddress, RegionStatus};
use lease::{ExitAddress, LeaseId, TunnelEnd};
use peer_key::PeerSecret;
use pool::Block;
use privacy_pass::SpendHash;

pub(crate) const WEEK: Week = Week::new(2_980);

/// Where a database is kept.
pub(crate) trait Room {
    type Store: DipStore + PoolStore;

    /// Opens the database once more: as a second instance of the service where there may be one, else as one that was started again.
    async fn open(&self) -> Self::Store;
}

pub(crate) const fn later(weeks: u32) -> Week {
    Week::new(WEEK.number() + weeks)
}

pub(crate) fn block(text: &str) -> Vec<ExitAddress> {
    text.parse::<Block>().unwrap().addresses().collect()
}

pub(crate) fn new(text: &str, region: &str, gateway: &str) -> Vec<NewAddress> {
    let at = |address| NewAddress {
        address,
        region: region.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
    };
    block(text).into_iter().map(at).collect()
}

pub(crate) fn gateway(name: &str) -> NamedGateway {
    let tunnel = TunnelEnd {
        public_key: PeerSecret::random(&mut system_rng()).public(),
        endpoint: "[2001:db8::1]:51820".parse().unwrap(),
        inner_address: "100.64.0.2".parse().unwrap(),
        resolver: "100.64.0.1".parse().unwrap(),
    };
    let gateway = GatewayInfo { url: "http://127.0.0.1:3006".into(), tunnel };
    NamedGateway { name: name.parse().unwrap(), gateway }
}

/// A store with a block of addresses in `eu-1`, at the gateway `one`.
pub(crate) async fn with_pool<R: Room>(room: &R, text: &str) -> R::Store {
    let store = room.open().await;
    store.set_gateway(gateway("one")).await.unwrap();
    store.import(new(text, "eu-1", "one"), false).await.unwrap();
    store
}

pub(crate) fn token(number: u32) -> SpendHash {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    SpendHash::from_bytes(hash)
}

pub(crate) fn wish(number: u32) -> Wish {
    Wish {
        token: token(number),
        until: WEEK,
        region: "eu-1".parse().unwrap(),
        lease: LeaseId::random(&mut system_rng()),
    }
}

pub(crate) async fn hold(store: &impl DipStore, number: u32) -> Held {
    match store.reserve(wish(number)).await.unwrap() {
        Reservation::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn assignment(number: u32, held: &Held, ends: Week) -> Assignment {
    let Held { lease, address, .. } = *held;
    Assignment { token: token(number), until: WEEK, lease, address, ends }
}

/// A lease until `ends`.
pub(crate) async fn leased(store: &impl DipStore, number: u32, ends: Week) -> Held {
    let held = hold(store, number).await;
    let committed = store.commit(assignment(number, &held, ends)).await.unwrap();
    assert_eq!(committed, Committed::Begun);
    Held { ends, ..held }
}

/// The counts of `eu-1` in the week `now`.
pub(crate) async fn status(store: &impl PoolStore, now: Week) -> RegionStatus {
    let survey = store.survey(now).await.unwrap();
    let mut of_region = survey.into_iter().filter(|one| one.status.region.as_str() == "eu-1");
    of_region.next().unwrap().status
}

/// Available, reserved, leased (with grace) and quarantined addresses of `eu-1`.
pub(crate) async fn counts(store: &impl PoolStore, now: Week) -> [u32; 4] {
    let status = status(store, now).await;
    [status.available, status.reserved, status.leased + status.grace, status.quarantine]
}

/// Ends what ends by `now`; in how many parts.
pub(crate) async fn tidy(store: &impl DipStore, now: Week) -> usize {
    let mut parts = 0;
    while store.tidy(now, Week::new(now.number() + 5)).await.unwrap() {
        parts += 1;
    }
    parts
}
