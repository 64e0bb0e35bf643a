//! Jobs, errors, files and migrations.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use store::{Database, Error, Migration, params};

const NUMBERS: Migration = Migration {
    number: 1,
    name: "numbers",
    sql: "CREATE TABLE numbers (
        n INTEGER PRIMARY KEY,
        half INTEGER NOT NULL CHECK (half * 2 <= n),
        name TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX numbers_by_half ON numbers (half, name)",
};

const NAMES: Migration = Migration {
    number: 2,
    name: "names",
    sql: "CREATE TABLE names (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
};

/// A directory and the database in it.
fn room() -> Result<(tempfile::TempDir, PathBuf), Error> {
    let room = tempfile::tempdir().map_err(Error::Open)?;
    let path = room.path().join("store.db");
    Ok((room, path))
}

async fn insert(database: &Database, n: i64) -> Result<(), Error> {
    database
        .write("insert", move |tx| {
            tx.execute(
                "INSERT INTO numbers VALUES (?1, ?2, ?3)",
                params![n, n / 2, n.to_string()],
            )?;
            Ok(())
        })
        .await
}

async fn all(database: &Database) -> Result<Vec<i64>, Error> {
    let sql = "SELECT n FROM numbers ORDER BY n";
    database.read("all", move |tx| tx.all(sql, [], |row| row.get(0))).await
}

#[tokio::test]
async fn jobs_that_wait_together_succeed_and_fail_apart() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    let jobs: Vec<_> = (0..600_i64)
        .map(|n| {
            let database = database.clone();
            tokio::spawn(async move {
                database
                    .write("insert", move |tx| {
                        tx.execute("INSERT INTO numbers VALUES (?1, ?2, '')", params![n, n / 2])?;
                        if n % 3 == 0 { Err(Error::NoRow) } else { Ok(n) }
                    })
                    .await
            })
        })
        .collect();
    for (n, job) in (0..).zip(jobs) {
        match job.await.unwrap() {
            Ok(value) => assert!(value == n && n % 3 != 0),
            Err(error) => assert!(matches!(error, Error::NoRow) && n % 3 == 0, "{error}"),
        }
    }
    assert_eq!(all(&database).await.unwrap(), (0..600).filter(|n| n % 3 != 0).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_panic_undoes_its_own_job_only() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    insert(&database, 1).await.unwrap();
    let panicked: Result<(), Error> = database
        .write("clumsy", |tx| {
            tx.execute("DELETE FROM numbers", [])?;
            panic!("clumsy")
        })
        .await;
    assert!(matches!(panicked, Err(Error::Panicked { job: "clumsy" })));
    insert(&database, 2).await.unwrap();
    assert_eq!(all(&database).await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn a_transaction_that_sqlite_gave_up_is_reported_to_all_of_its_jobs() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    // The job ends the transaction under the group, as SQLite does when the disk is full.
    let result: Result<(), Error> = database
        .write("saboteur", |tx| {
            tx.execute("INSERT INTO numbers VALUES (1, 0, '')", [])?;
            tx.execute("ROLLBACK", [])?;
            Ok(())
        })
        .await;
    assert!(matches!(result, Err(Error::NotCommitted(_))), "{result:?}");
    insert(&database, 2).await.unwrap();
    assert_eq!(all(&database).await.unwrap(), [2]);
}

#[tokio::test]
async fn constraints_have_errors_of_their_own() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    insert(&database, 1).await.unwrap();
    assert!(matches!(insert(&database, 1).await, Err(Error::Duplicate)));
    let bad = |sql: &'static str| database.write("bad", move |tx| tx.execute(sql, []));
    let check: Result<_, Error> = bad("INSERT INTO numbers VALUES (2, 2, '')").await;
    assert!(matches!(check, Err(Error::Constraint(_))));
    let syntax: Result<_, Error> = bad("SELEKT").await;
    assert!(matches!(syntax, Err(Error::Statement(_))));
    let missing: Result<i64, Error> = database
        .read("missing", |tx| tx.row("SELECT n FROM numbers WHERE n = 9", [], |r| r.get(0)))
        .await;
    assert!(matches!(missing, Err(Error::NoRow)));
}

#[tokio::test]
async fn a_read_cannot_write_and_a_write_can_return() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    const SQL: &str = "INSERT INTO numbers VALUES (8, 4, '') RETURNING half";
    let read: Result<i64, Error> =
        database.read("sly", |tx| tx.row(SQL, [], |row| row.get(0))).await;
    assert!(matches!(read, Err(Error::ReadOnly)));
    assert_eq!(all(&database).await.unwrap(), Vec::<i64>::new());
    let write: Result<Option<i64>, Error> =
        database.write("returning", |tx| tx.optional(SQL, [], |row| row.get(0))).await;
    assert_eq!(write.unwrap(), Some(4));
    assert_eq!(all(&database).await.unwrap(), [8]);
}

#[tokio::test]
async fn dropping_finishes_what_is_queued_and_frees_the_file() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    assert!(matches!(Database::open(&path, &[NUMBERS]), Err(Error::InUse)));
    let mut queued = Vec::new();
    for n in 0..50 {
        let mut job = Box::pin({
            let database = database.clone();
            async move { insert(&database, n).await }
        });
        // Polled once: the job is in the queue, and nobody waits for it any more.
        let _ = std::future::poll_fn(|context| std::task::Poll::Ready(job.as_mut().poll(context)))
            .await;
        queued.push(job);
    }
    drop((queued, database));
    let again = Database::open(&path, &[NUMBERS]).unwrap();
    assert_eq!(all(&again).await.unwrap().len(), 50);
}

#[test]
fn a_job_may_hold_the_last_handle() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    let held = database.clone();
    let result: Result<_, Error> = database.write_blocking("holder", move |tx| {
        drop(held);
        tx.execute("INSERT INTO numbers VALUES (1, 0, '')", [])
    });
    assert_eq!(result.unwrap(), 1);
}

#[tokio::test]
async fn blocking_calls_work_inside_a_runtime_too() {
    let (_room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    let count: Result<i64, Error> = database
        .read_blocking("count", |tx| tx.row("SELECT count(*) FROM numbers", [], |r| r.get(0)));
    assert_eq!(count.unwrap(), 0);
}

#[test]
fn the_files_are_private_and_their_directory_must_exist() {
    let (room, path) = room().unwrap();
    let database = Database::open(&path, &[NUMBERS]).unwrap();
    let _: Result<usize, Error> = database
        .write_blocking("one", |tx| tx.execute("INSERT INTO numbers VALUES (1, 0, '')", []));
    for entry in fs::read_dir(room.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let nowhere = room.path().join("missing/store.db");
    assert!(matches!(Database::open(&nowhere, &[]), Err(Error::Open(_))));
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let (_room, path) = room().unwrap();
    fs::write(&path, "x".repeat(5000)).unwrap();
    assert!(matches!(Database::open(&path, &[NUMBERS]), Err(Error::Corrupt(_))));
}

#[test]
fn migrations_are_applied_once_and_in_order() {
    let (_room, path) = room().unwrap();
    let tables = |database: &Database| {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let names: Result<Vec<String>, Error> =
            database.read_blocking("tables", move |tx| tx.all(sql, [], |row| row.get(0)));
        names.unwrap()
    };
    assert_eq!(
        tables(&Database::open(&path, &[NUMBERS]).unwrap()),
        ["applied_migrations", "numbers"]
    );
    let grown = Database::open(&path, &[NUMBERS, NAMES]).unwrap();
    assert_eq!(tables(&grown), ["applied_migrations", "names", "numbers"]);
    drop(grown);
    assert!(Database::open(&path, &[NUMBERS, NAMES]).is_ok());
    assert!(matches!(Database::open(&path, &[NUMBERS]), Err(Error::Newer { number: 2 })));
    let changed =
        Migration { sql: "CREATE TABLE other (n INTEGER PRIMARY KEY) WITHOUT ROWID", ..NAMES };
    let result = Database::open(&path, &[NUMBERS, changed]);
    assert!(matches!(result, Err(Error::Changed { number: 2 })));
    assert!(matches!(Database::open(&path, &[NAMES]), Err(Error::Misnumbered { number: 2 })));
}

#[test]
fn a_failed_migration_leaves_nothing() {
    let (_room, path) = room().unwrap();
    let broken = Migration {
        sql: "CREATE TABLE a (n INTEGER PRIMARY KEY) WITHOUT ROWID; NONSENSE",
        ..NAMES
    };
    assert!(matches!(Database::open(&path, &[NUMBERS, broken]), Err(Error::Statement(_))));
    let serial = Migration { sql: "CREATE TABLE serial (n INTEGER PRIMARY KEY)", ..NAMES };
    let result = Database::open(&path, &[NUMBERS, serial]);
    assert!(matches!(result, Err(Error::SerialRows { table }) if table == "serial"));
    assert!(Database::open(&path, &[NUMBERS, NAMES]).is_ok());
}
