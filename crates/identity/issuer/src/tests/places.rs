//! Where a store is kept: each kind of database, for the same tests.

use postgres_cluster::Database;
use tempfile::TempDir;

use crate::{IssuerStore, PostgresIssuer, SqliteIssuer};

/// A place for a store of a test's own.
pub(super) trait Place {
    type Store: IssuerStore + Clone;

    fn new() -> Self;

    /// Two handles, as different from each other as two instances of the service have them on this kind of database. When all are dropped, this
    /// opens the store again.
    fn instances(&self) -> impl Future<Output = [Self::Store; 2]> + Send;

    /// How many subscriptions and answers are kept.
    fn rows(store: &Self::Store) -> impl Future<Output = (u32, u32)> + Send;
}

/// A SQLite file: one process has it.
pub(super) struct Sqlite(TempDir);

impl Place for Sqlite {
    type Store = SqliteIssuer;

    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn instances(&self) -> [SqliteIssuer; 2] {
        let store = SqliteIssuer::open(&self.0.path().join("issuer.sqlite")).unwrap();
        [store.clone(), store]
    }

    async fn rows(store: &SqliteIssuer) -> (u32, u32) {
        store.rows().await.unwrap()
    }
}

/// A database of a PostgreSQL server: each instance has connections of its own.
pub(super) struct Postgres(Database);

impl Place for Postgres {
    type Store = PostgresIssuer;

    fn new() -> Self {
        Self(postgres_cluster::shared().unwrap().database("issuer").unwrap())
    }

    async fn instances(&self) -> [PostgresIssuer; 2] {
        let url = self.0.url.parse().unwrap_or_else(|never| match never {});
        let one = PostgresIssuer::connect(&url).await.unwrap();
        [one, PostgresIssuer::connect(&url).await.unwrap()]
    }

    async fn rows(store: &PostgresIssuer) -> (u32, u32) {
        store.rows().await.unwrap()
    }
}

/// Makes a test of each generic function, for each place.
macro_rules! in_each_place {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test::<crate::tests::places::Sqlite>().await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test::<crate::tests::places::Postgres>().await;
            })+
        }
    };
}

pub(super) use in_each_place;
