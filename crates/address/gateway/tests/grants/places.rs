//! Where a store is kept: each kind of database, for the same tests, with devices at two addresses.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coarse::{Hour, Secret};
use gateway::grants::{
    Error, Grant, GrantStore, Granted, Kept, PostgresGrants, SqliteGrants, Wish,
};
use jws::Compact;
use peer_key::{PeerKey, PeerSecret, Thumbprint};
use postgres_cluster::Database;
use tempfile::TempDir;

pub(crate) const NOW: Hour = Hour::new(500_000);
pub(crate) const ENDS: Hour = Hour::new(500_072);
pub(crate) const HERE: &str = "127.0.77.1";
pub(crate) const THERE: &str = "127.0.77.2";

pub(crate) fn device(seed: u8) -> PeerKey {
    PeerSecret::from_bytes(&Secret::new([seed; 32])).public()
}

pub(crate) fn grant(seed: u8, address: &str, ends: Hour) -> Grant {
    let dat = Compact::new(format!("{seed}.{}", ends.number()));
    Grant { device: device(seed), address: address.parse().unwrap(), ends, dat }
}

pub(crate) fn wish(by: u8, device_of: u8, now: Hour) -> Wish {
    Wish { by: device(by), device: Thumbprint::from(&device(device_of)), now }
}

pub(crate) fn many() -> NonZero<u32> {
    NonZero::new(10).unwrap()
}

/// Where a store is kept.
pub(crate) trait Place {
    type Store: GrantStore + Clone;

    fn new() -> Self;

    /// Two handles, as different from each other as two gateways have them on this kind of database.
    fn instances(&self) -> impl Future<Output = [Self::Store; 2]> + Send;

    /// How many removals are kept, once all handles are dropped.
    fn removals(&self) -> u32;
}

pub(crate) struct Sqlite(TempDir);

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.0.path().join("gateway.sqlite")
    }
}

impl Place for Sqlite {
    type Store = SqliteGrants;

    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn instances(&self) -> [SqliteGrants; 2] {
        let store = SqliteGrants::open(&self.path()).unwrap();
        [store.clone(), store]
    }

    fn removals(&self) -> u32 {
        let rows = rusqlite::Connection::open(self.path()).unwrap();
        rows.query_row("SELECT count(*) FROM removed", [], |row| row.get(0)).unwrap()
    }
}

pub(crate) struct Postgres(Database);

impl Place for Postgres {
    type Store = PostgresGrants;

    fn new() -> Self {
        Self(postgres_cluster::shared().unwrap().database("gateway").unwrap())
    }

    async fn instances(&self) -> [PostgresGrants; 2] {
        let url = self.0.url.parse().unwrap_or_else(|never| match never {});
        let one = PostgresGrants::connect(&url).await.unwrap();
        [one, PostgresGrants::connect(&url).await.unwrap()]
    }

    fn removals(&self) -> u32 {
        let server = postgres_cluster::shared().unwrap();
        let counted = server.sql(&self.0.name, "SELECT count(*) FROM removed").unwrap();
        counted.trim().parse().unwrap()
    }
}

/// Two instances, of which each is asked in its turn.
#[derive(Clone)]
pub(crate) struct Turns<S>([S; 2], Arc<AtomicUsize>);

impl<S> Turns<S> {
    fn next(&self) -> &S {
        &self.0[self.1.fetch_add(1, Ordering::SeqCst) % 2]
    }
}

impl<S: GrantStore> GrantStore for Turns<S> {
    async fn keep(&self, grant: Grant, most: NonZero<u32>, now: Hour) -> Result<Kept, Error> {
        self.next().keep(grant, most, now).await
    }

    async fn all(&self) -> Result<Vec<Grant>, Error> {
        let mut all = self.next().all().await?;
        all.sort_unstable_by_key(|grant| *grant.device.bytes());
        Ok(all)
    }

    async fn beside(&self, device: PeerKey, now: Hour) -> Result<Option<Vec<Grant>>, Error> {
        self.next().beside(device, now).await
    }

    async fn remove(&self, wish: Wish, until: Hour) -> Result<Granted, Error> {
        self.next().remove(wish, until).await
    }

    async fn take_back(&self, wish: Wish) -> Result<Granted, Error> {
        self.next().take_back(wish).await
    }

    async fn forget(&self, grants: Vec<Grant>) -> Result<(), Error> {
        self.next().forget(grants).await
    }

    async fn forget_ended(&self, now: Hour) -> Result<(), Error> {
        self.next().forget_ended(now).await
    }
}

/// Devices 1 and 2 here, 3 there.
pub(crate) async fn store<P: Place>(place: &P) -> Turns<P::Store> {
    let store = Turns(place.instances().await, Arc::default());
    for (seed, address) in [(1, HERE), (2, HERE), (3, THERE)] {
        let grant = grant(seed, address, ENDS);
        let kept = store.keep(grant.clone(), many(), NOW).await.unwrap();
        assert_eq!(kept, Kept::InForce(grant));
    }
    store
}

/// The seeds of the devices that are left, of whose wish was granted; `None` when it wasn't.
pub(crate) fn left(granted: Granted) -> Option<Vec<u8>> {
    let Granted::Done { left, .. } = granted else { return None };
    let seed = |grant: Grant| (1..=99).find(|seed| device(*seed) == grant.device).unwrap();
    let mut seeds: Vec<u8> = left.into_iter().map(seed).collect();
    seeds.sort_unstable();
    Some(seeds)
}

/// Makes a test of each generic function, for each place.
macro_rules! in_each_place {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test::<crate::places::Sqlite>().await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test::<crate::places::Postgres>().await;
            })+
        }
    };
}

pub(crate) use in_each_place;
