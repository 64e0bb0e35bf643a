//! How a database gets its tables, and whose it is.

use postgres_cluster::{Cluster, Options};
use store::postgres::{Owner, Server};
use store::{Error, Migration};

use super::room::{NAMES, NUMBERS, OWNER, all, cluster, connect, empty, insert, url};

/// What the database has in `public`.
fn tables(database: &str) -> Vec<String> {
    let sql = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1";
    cluster().sql(database, sql).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn migrations_are_applied_once_and_in_order() {
    let database = empty();
    connect(&database, &[NUMBERS]).await.unwrap();
    assert_eq!(tables(&database.name), ["applied_migrations", "database_owner", "numbers"]);
    let server = connect(&database, &[NUMBERS, NAMES]).await.unwrap();
    assert_eq!(
        tables(&database.name),
        ["applied_migrations", "database_owner", "names", "numbers"]
    );
    insert(&server, 1).await.unwrap();
    let again = connect(&database, &[NUMBERS, NAMES]).await.unwrap();
    assert_eq!(all(&again).await.unwrap(), [1]);
    let refused = connect(&database, &[NUMBERS]).await;
    assert!(matches!(refused, Err(Error::Newer { number: 2 })));
    let changed = Migration { sql: "CREATE TABLE other (n bigint PRIMARY KEY)", ..NAMES };
    let refused = connect(&database, &[NUMBERS, changed]).await;
    assert!(matches!(refused, Err(Error::Changed { number: 2 })));
    let refused = connect(&database, &[NAMES]).await;
    assert!(matches!(refused, Err(Error::Misnumbered { number: 2 })));
}

#[tokio::test]
async fn a_failed_migration_leaves_nothing() {
    let database = empty();
    let broken = Migration { sql: "CREATE TABLE a (n bigint PRIMARY KEY); NONSENSE", ..NAMES };
    let refused = connect(&database, &[NUMBERS, broken]).await;
    assert!(matches!(refused, Err(Error::Statement(_))));
    assert_eq!(tables(&database.name), [""; 0]);
    assert!(connect(&database, &[NUMBERS, NAMES]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_at_once_migrate_once() {
    let database = empty();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { connect(&database, &[NUMBERS, NAMES]).await.map(drop) })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    let count = "SELECT count(*) FROM applied_migrations";
    assert_eq!(cluster().sql(&database.name, count).unwrap(), "2\n");
}

#[tokio::test]
async fn tables_that_tell_order_or_time_are_refused() {
    for (sql, told) in [
        ("CREATE TABLE t (n bigserial PRIMARY KEY)", "sequence"),
        ("CREATE TABLE t (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)", "sequence"),
        (
            "CREATE TABLE t (n bigint PRIMARY KEY, at timestamptz NOT NULL)",
            "timestamp with time zone, at",
        ),
        ("CREATE TABLE t (n bigint PRIMARY KEY, at date)", "date, at"),
        (
            "CREATE DOMAIN moment AS timestamp; CREATE TABLE t (n bigint PRIMARY KEY, at moment)",
            "timestamp",
        ),
        ("CREATE TABLE t (n bigint PRIMARY KEY, at timestamptz[])", "timestamp"),
        (
            "CREATE TABLE t (n bigint PRIMARY KEY DEFAULT extract(epoch FROM now()))",
            "computes a default for n",
        ),
        ("CREATE TABLE t (n text PRIMARY KEY DEFAULT CURRENT_USER)", "computes a default"),
        ("CREATE TABLE t (n bigint)", "no primary key"),
        ("CREATE UNLOGGED TABLE t (n bigint PRIMARY KEY)", "not logged"),
        ("CREATE TABLE t (n bigint PRIMARY KEY) PARTITION BY HASH (n)", "no ordinary table"),
        (
            "CREATE TABLE s (n bigint PRIMARY KEY); CREATE TABLE t (n bigint PRIMARY KEY REFERENCES s)",
            "foreign key",
        ),
        ("CREATE SCHEMA hidden; CREATE TABLE hidden.t (n bigint)", "no primary key"),
    ] {
        let database = empty();
        let refused = connect(&database, &[Migration { sql, ..NUMBERS }]).await.err();
        let said = refused.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(
            matches!(refused, Some(Error::Telling { .. })) && said.contains(told),
            "{sql}: {refused:?}"
        );
        assert_eq!(tables(&database.name), [""; 0], "{sql}");
    }
    let fine =
        "CREATE TABLE t (n bigint PRIMARY KEY DEFAULT 0, hour bigint, name text DEFAULT 'x')";
    assert!(connect(&empty(), &[Migration { sql: fine, ..NUMBERS }]).await.is_ok());
}

#[tokio::test]
async fn a_database_is_one_services() {
    let database = empty();
    connect(&database, &[NUMBERS]).await.unwrap();
    let other = Owner { service: "letters", ..OWNER };
    let refused = Server::connect(&url(&database.url), other, &[NUMBERS]).await;
    assert!(matches!(refused, Err(Error::OtherService { service }) if service == "numbers"));
    // Nor does it take over a database that somebody uses for something else.
    let foreign = empty();
    cluster().sql(&foreign.name, "CREATE TABLE orders (n bigint PRIMARY KEY)").unwrap();
    assert!(matches!(connect(&foreign, &[NUMBERS]).await, Err(Error::Foreign)));
    assert_eq!(tables(&foreign.name), ["orders"]);
}

#[tokio::test]
async fn nobody_else_may_enter_a_services_database() {
    let (mine, other) = (empty(), empty());
    let name = &mine.name;
    cluster().sql("postgres", &format!("GRANT ALL ON DATABASE {name} TO PUBLIC")).unwrap();
    let way = url(&cluster().url(&other.name, name).unwrap());
    connect(&mine, &[NUMBERS]).await.unwrap();
    let refused = Server::connect(&way, OWNER, &[NUMBERS]).await;
    assert!(matches!(refused, Err(Error::Login(_))), "the owner closed it");
    // Who may enter another service's database by special leave isn't served.
    let sql = format!("GRANT CONNECT ON DATABASE {name} TO {}", other.name);
    cluster().sql("postgres", &sql).unwrap();
    assert!(matches!(connect(&other, &[NUMBERS]).await, Err(Error::Role(_))));
}

#[tokio::test]
async fn roles_that_may_do_too_much_or_too_little_are_refused() {
    let sql = |text: &str| cluster().sql("postgres", text).unwrap();
    for (much, back) in [
        ("ALTER ROLE # SUPERUSER", "ALTER ROLE # NOSUPERUSER"),
        ("ALTER ROLE # CREATEROLE", "ALTER ROLE # NOCREATEROLE"),
        ("ALTER ROLE # REPLICATION", "ALTER ROLE # NOREPLICATION"),
        ("GRANT pg_read_all_data TO #", "REVOKE pg_read_all_data FROM #"),
        (
            "ALTER DATABASE # OWNER TO postgres; GRANT ALL ON DATABASE # TO #",
            "ALTER DATABASE # OWNER TO #",
        ),
    ] {
        let database = empty();
        sql(&much.replace('#', &database.name));
        assert!(matches!(connect(&database, &[NUMBERS]).await, Err(Error::Role(_))), "{much}");
        assert_eq!(tables(&database.name), [""; 0]);
        sql(&back.replace('#', &database.name));
        assert!(connect(&database, &[NUMBERS]).await.is_ok(), "{back}");
    }
}

/// A server numbers and logs all transactions of all its databases.
#[tokio::test]
async fn a_server_has_databases_of_one_side_only() {
    let own = Cluster::start(Options { in_memory: true, ..Options::default() }).unwrap();
    let (one, other) = (own.database("one").unwrap(), own.database("other").unwrap());
    connect(&one, &[NUMBERS]).await.unwrap();
    let moved = Owner { side: "other", ..OWNER };
    let refused = Server::connect(&url(&one.url), moved, &[NUMBERS]).await;
    assert!(matches!(refused, Err(Error::OtherService { service }) if service == "numbers"));
    let elsewhere = Owner { service: "letters", side: "other" };
    let refused = Server::connect(&url(&other.url), elsewhere, &[NUMBERS]).await;
    assert!(matches!(refused, Err(Error::OtherSide { database }) if database == one.name));
    let same = Owner { service: "letters", ..OWNER };
    assert!(Server::connect(&url(&other.url), same, &[NUMBERS]).await.is_ok());
    assert!(connect(&one, &[NUMBERS]).await.is_ok());
}

/// The server would keep samples of columns for its planner, longer than the rows.
#[tokio::test]
async fn the_server_takes_no_samples() {
    let database = empty();
    let server = connect(&database, &[NUMBERS, NAMES]).await.unwrap();
    for n in 0..200 {
        insert(&server, n).await.unwrap();
    }
    let sampled = "ANALYZE; SELECT count(*) FROM pg_stats WHERE tablename IN ('numbers', 'names')";
    assert_eq!(cluster().sql(&database.name, sampled).unwrap(), "0\n");
    let other = "CREATE TABLE other AS SELECT n FROM numbers; ANALYZE; SELECT count(*) FROM pg_stats WHERE tablename = 'other'";
    assert_eq!(cluster().sql(&database.name, other).unwrap(), "1\n", "it can be seen");
}
