//! Servers that go away, and what is said of failures.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use postgres_cluster::{Cluster, Options};
use store::Error;
use store::postgres::Server;

use super::proxy::{Cut, Proxy};
use super::room::{INSERT, NUMBERS, OWNER, all, cluster, connect, empty, insert, room, url};

#[tokio::test]
async fn what_was_answered_survives_a_crash_and_handles_come_back() {
    let mut own = Cluster::start(Options::default()).unwrap();
    let database = own.database("numbers").unwrap();
    let server = connect(&database, &[NUMBERS]).await.unwrap();
    insert(&server, 1).await.unwrap();
    own.kill().unwrap();
    let refused = insert(&server, 2).await;
    assert!(matches!(refused, Err(Error::Unreachable(_) | Error::InDoubt)), "{refused:?}");
    assert!(matches!(insert(&server, 2).await, Err(Error::Unreachable(_))));
    assert!(matches!(connect(&database, &[NUMBERS]).await, Err(Error::Unreachable(_))));
    own.restart().unwrap();
    assert_eq!(all(&server).await.unwrap(), [1]);
    insert(&server, 3).await.unwrap();
    own.stop().unwrap();
    own.restart().unwrap();
    // A read finds out by itself that its connection is gone.
    assert_eq!(all(&server).await.unwrap(), [1, 3]);
}

/// Whatever becomes of a commit whose answer is lost: it isn't reported as done, and not done again.
#[tokio::test]
async fn a_commit_without_an_answer_is_in_doubt() {
    for (cut, stored) in [(Cut::BeforeCommit, &[][..]), (Cut::AfterCommit, &[5])] {
        let database = empty();
        let behind = cluster().data().parent().unwrap().to_owned();
        let proxy = Proxy::before(&behind, cut).unwrap();
        let socket = proxy.directory().to_str().unwrap().replace('/', "%2F");
        let name = &database.name;
        let way = url(&format!("postgres://{name}@{socket}/{name}"));
        let server = Server::connect(&way, OWNER, &[NUMBERS]).await.unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let write = || {
            server.transaction("five", |tx| {
                runs.fetch_add(1, Ordering::SeqCst);
                async move {
                    let values = [5_u32.into(), 0_u32.into(), (&[1]).into()];
                    tx.execute(
                        "INSERT INTO numbers VALUES ($1, $2, $3) ON CONFLICT (n) DO NOTHING",
                        &values,
                    )
                    .await
                }
            })
        };
        proxy.arm();
        assert!(matches!(write().await, Err(Error::InDoubt)));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let straight = connect(&database, &[NUMBERS]).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while all(&straight).await.unwrap() != stored {
            assert!(Instant::now() < deadline, "the server hears of it late, but it does");
        }
        // Asking again settles it.
        let done: Result<_, Error> = write().await;
        assert_eq!(done.unwrap(), u64::from(stored.is_empty()));
        assert_eq!(all(&straight).await.unwrap(), [5]);
    }
}

const SUICIDE: &str = "SELECT pg_terminate_backend(pg_backend_pid())";

#[tokio::test]
async fn a_connection_lost_before_the_commit_costs_a_try() {
    let (_, server) = room().await;
    let runs = Arc::new(AtomicU32::new(0));
    let done = server
        .transaction("unlucky", |tx| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            async move {
                tx.execute(INSERT, &[u64::from(run).into(), 0_u32.into(), (&[1]).into()]).await?;
                if run < 2 {
                    tx.execute(SUICIDE, &[]).await?;
                }
                Ok::<_, Error>(run)
            }
        })
        .await;
    assert_eq!((done.unwrap(), all(&server).await.unwrap()), (2, vec![2]));
    let hopeless: Result<u64, Error> =
        server.transaction("hopeless", |tx| async move { tx.execute(SUICIDE, &[]).await }).await;
    assert!(matches!(hopeless, Err(Error::NotCommitted(_))), "{hopeless:?}");
    // A single statement that writes may have been done.
    assert!(matches!(server.write("lost").execute(SUICIDE, &[]).await, Err(Error::InDoubt)));
    assert!(matches!(server.read("lost").execute(SUICIDE, &[]).await, Err(Error::NotCommitted(_))));
    insert(&server, 9).await.unwrap();
}

/// An error with all its causes, and all that it says for programmers.
fn told(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(" {inner} {inner:?}");
        cause = inner.source();
    }
    text
}

/// PostgreSQL quotes the row in what it says; we don't, and the server's log doesn't.
#[tokio::test]
async fn failures_quote_no_row() {
    let (_, server) = room().await;
    let name = *b"only-here-0123456789";
    let write = async |n: u64, half: u64| {
        server.write("insert").execute(INSERT, &[n.into(), half.into(), (&name).into()]).await
    };
    write(918_273_645, 0).await.unwrap();
    let refusals = [
        write(918_273_645, 0).await.unwrap_err(),
        write(918_273_646, 918_273_646).await.unwrap_err(),
        server.write("bad").execute("SELECT n / 0 FROM numbers", &[]).await.unwrap_err(),
    ];
    assert!(matches!(refusals, [Error::Duplicate, Error::Constraint(_), Error::Statement(_)]));
    let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut said: Vec<_> = refusals.iter().map(told).collect();
    assert!(told(&refusals[1]).contains("numbers_check"), "it says which constraint");
    let log = cluster().log().unwrap();
    assert!(log.contains("numbers_check"), "{log}");
    said.push(log);
    for text in said {
        for secret in [hex.as_str(), "918273645", "918273646", "only-here"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[tokio::test]
async fn who_is_not_let_in_hears_why() {
    let (database, _server) = room().await;
    let name = &database.name;
    cluster()
        .sql(
            "postgres",
            &format!("ALTER ROLE {name} PASSWORD 'right'; GRANT with_password TO {name}"),
        )
        .unwrap();
    let with = |secret: &str| url(&database.url.replace('@', &format!(":{secret}@")));
    assert!(Server::connect(&with("right"), OWNER, &[NUMBERS]).await.is_ok());
    for way in [
        with("wrong"),
        url(&database.url.replace(&format!("{name}@"), "nobody@")),
        url(&database.url.replace(&format!("/{name}"), "/nothing")),
    ] {
        let refused = Server::connect(&way, OWNER, &[NUMBERS]).await.err().unwrap();
        assert!(matches!(refused, Error::Login(_)), "{refused:?}");
        assert!(!told(&refused).contains("wrong"));
    }
    let nowhere = Server::connect(&url("postgres://r@%2Fnowhere/d"), OWNER, &[]).await;
    assert!(matches!(nowhere, Err(Error::Unreachable(_))));
}
