//! Where a store is kept: each kind of database, for the same tests.

use postgres_cluster::Database;
use tempfile::TempDir;

use crate::{AccountStore, PostgresAccounts, SqliteAccounts};

/// A place for a store of a test's own.
pub(super) trait Place {
    type Store: AccountStore + Clone;

    fn new() -> Self;

    /// Two handles, as different from each other as two instances of the service have them on this kind of database. When all are dropped, this
    /// opens the store again.
    fn instances(&self) -> impl Future<Output = [Self::Store; 2]> + Send;
}

/// A SQLite file: one process has it.
pub(super) struct Sqlite(TempDir);

impl Place for Sqlite {
    type Store = SqliteAccounts;

    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn instances(&self) -> [SqliteAccounts; 2] {
        let store = SqliteAccounts::open(&self.0.path().join("accounts.sqlite")).unwrap();
        [store.clone(), store]
    }
}

/// A database of a PostgreSQL server: each instance has connections of its own.
pub(super) struct Postgres(Database);

impl Place for Postgres {
    type Store = PostgresAccounts;

    fn new() -> Self {
        Self(postgres_cluster::shared().unwrap().database("accounts").unwrap())
    }

    async fn instances(&self) -> [PostgresAccounts; 2] {
        let url = self.0.url.parse().unwrap_or_else(|never| match never {});
        let one = PostgresAccounts::connect(&url).await.unwrap();
        [one, PostgresAccounts::connect(&url).await.unwrap()]
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
