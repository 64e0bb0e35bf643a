//! A database of a test's own.

use postgres_cluster::{Cluster, Database};
use store::postgres::{DatabaseUrl, Owner, Server};
use store::{Error, Migration};

pub(crate) const OWNER: Owner = Owner { service: "numbers", side: "tests" };

pub(crate) const NUMBERS: Migration = Migration {
    number: 1,
    name: "numbers",
    sql: "CREATE TABLE numbers (
        n bigint PRIMARY KEY,
        half bigint NOT NULL CHECK (half * 2 <= n),
        name bytea NOT NULL
    );
    CREATE INDEX numbers_by_half ON numbers (half, name)",
};

pub(crate) const NAMES: Migration =
    Migration { number: 2, name: "names", sql: "CREATE TABLE names (name text PRIMARY KEY)" };

pub(crate) fn cluster() -> &'static Cluster {
    postgres_cluster::shared().unwrap()
}

pub(crate) fn empty() -> Database {
    cluster().database("numbers").unwrap()
}

pub(crate) fn url(text: &str) -> DatabaseUrl {
    text.parse().unwrap_or_else(|never| match never {})
}

pub(crate) async fn connect(database: &Database, steps: &[Migration]) -> Result<Server, Error> {
    Server::connect(&url(&database.url), OWNER, steps).await
}

/// A database with the table of numbers, and a handle to it.
pub(crate) async fn room() -> (Database, Server) {
    let database = empty();
    let server = connect(&database, &[NUMBERS]).await.unwrap();
    (database, server)
}

pub(crate) const INSERT: &str = "INSERT INTO numbers VALUES ($1, $2, $3)";

pub(crate) async fn insert(server: &Server, n: u64) -> Result<u64, Error> {
    let name = n.to_be_bytes();
    server.write("insert").execute(INSERT, &[n.into(), (n / 2).into(), (&name).into()]).await
}

pub(crate) async fn all(server: &Server) -> Result<Vec<u64>, Error> {
    server.read("all").all("SELECT n FROM numbers ORDER BY n", &[], |row| row.number(0)).await
}
