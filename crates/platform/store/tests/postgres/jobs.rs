//! What jobs do, one at a time and many at once, through two handles as two instances have them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use store::Error;
use store::postgres::Server;
use tokio::sync::Barrier;

use super::room::{INSERT, NUMBERS, all, connect, insert, room};

#[tokio::test]
async fn values_come_back_as_they_went() {
    let (_, server) = room().await;
    let name = [7; 300];
    let largest = u64::try_from(i64::MAX).unwrap();
    let back = server
        .write("one")
        .row(
            "INSERT INTO numbers VALUES ($1, $2, $3) RETURNING n, name, half > 1, 'text'",
            &[largest.into(), 2_u32.into(), (&name).into()],
            |row| {
                let short = row.bytes::<299>(1).is_err() && row.number::<u32>(0).is_err();
                assert!(short && row.text(1).is_err() && row.flag(0).is_err());
                assert!(
                    row.parsed(1, |bytes| if bytes == name { Err(()) } else { Ok(()) }).is_err()
                );
                Ok((row.number(0)?, row.bytes(1)?, row.flag(2)?, row.text(3)?.to_owned()))
            },
        )
        .await;
    assert_eq!(back.unwrap(), (largest, name, true, "text".to_owned()));
    let read = server.read("others");
    let several: [&[u8]; 2] = [&[7; 300], &[8; 3]];
    let counted = read
        .row(
            "SELECT count(*) FROM numbers WHERE name = ANY ($1) AND $2 AND $3 = 'x'",
            &[store::postgres::Value::Several(&several), true.into(), "x".into()],
            |row| row.number::<u32>(0),
        )
        .await;
    assert_eq!(counted.unwrap(), 1);
    let none: Result<Option<[u8; 3]>, _> =
        read.row("SELECT NULL::bytea", &[], |row| row.optional_bytes(0)).await;
    assert_eq!(none.unwrap(), None);
    // What can't be kept exactly isn't kept.
    for wrong in [(largest + 1).into(), "1".into(), (&name).into()] {
        let values = [wrong, 0_u32.into(), (&name).into()];
        let refused = server.write("one").execute(INSERT, &values).await;
        assert!(matches!(refused, Err(Error::Statement(_))), "{wrong:?}");
    }
    assert_eq!(all(&server).await.unwrap(), [largest]);
}

#[tokio::test]
async fn an_error_undoes_its_own_transaction_only() {
    let (_, server) = room().await;
    let jobs: Vec<_> = (0..60_u64)
        .map(|n| {
            let server = server.clone();
            tokio::spawn(async move {
                server
                    .transaction("insert", |tx| async move {
                        let values = [n.into(), 0_u32.into(), (&[1]).into()];
                        assert_eq!(tx.execute(INSERT, &values).await?, 1);
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
    assert_eq!(all(&server).await.unwrap(), (0..60).filter(|n| n % 3 != 0).collect::<Vec<_>>());
}

#[tokio::test]
async fn constraints_have_errors_of_their_own() {
    let (_, server) = room().await;
    insert(&server, 1).await.unwrap();
    assert!(matches!(insert(&server, 1).await, Err(Error::Duplicate)));
    let bad = |sql: &'static str| {
        let write = server.write("bad");
        async move { write.execute(sql, &[]).await }
    };
    let check = bad("INSERT INTO numbers VALUES (2, 2, '')").await;
    assert!(matches!(check, Err(Error::Constraint(_))), "{check:?}");
    assert!(matches!(bad("SELEKT").await, Err(Error::Statement(_))));
    let read = server.read("missing");
    let missing = read.row("SELECT n FROM numbers WHERE n = 9", &[], |row| row.number::<u64>(0));
    assert!(matches!(missing.await, Err(Error::NoRow)));
}

/// A failed statement ends a transaction in PostgreSQL: a job that doesn't care gets nothing stored, and hears of it.
#[tokio::test]
async fn nobody_goes_on_after_a_failed_statement() {
    let (_, server) = room().await;
    let careless = server.transaction("careless", |tx| async move {
        for n in [1_u32, 1] {
            let _ = tx.execute(INSERT, &[n.into(), 0_u32.into(), (&[1]).into()]).await;
        }
        Ok::<_, Error>(())
    });
    assert!(matches!(careless.await, Err(Error::WentOn { job: "careless" })));
    assert_eq!(all(&server).await.unwrap(), Vec::<u64>::new());
}

/// Two that wait for each other's rows: the server ends one of them, which is run again.
#[tokio::test]
async fn jobs_that_stand_in_each_others_way_are_run_again() {
    let (database, server) = room().await;
    let other = connect(&database, &[NUMBERS]).await.unwrap();
    for n in [10, 20] {
        insert(&server, n).await.unwrap();
    }
    let (barrier, runs) = (Arc::new(Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let halve = |server: Server, order: [u64; 2]| {
        let (barrier, runs) = (Arc::clone(&barrier), Arc::clone(&runs));
        tokio::spawn(async move {
            server
                .transaction("halve", |tx| {
                    let (barrier, runs) = (Arc::clone(&barrier), Arc::clone(&runs));
                    async move {
                        let [first, second] = order;
                        let halve = "UPDATE numbers SET half = half - 1 WHERE n = $1";
                        tx.execute(halve, &[first.into()]).await?;
                        if runs.fetch_add(1, Ordering::SeqCst) < 2 {
                            barrier.wait().await;
                        }
                        tx.execute(halve, &[second.into()]).await.map(drop)
                    }
                })
                .await
        })
    };
    let (one, two) = (halve(server.clone(), [10, 20]), halve(other, [20, 10]));
    let ended: (Result<(), Error>, Result<(), Error>) = (one.await.unwrap(), two.await.unwrap());
    ended.0.and(ended.1).unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    let read = server.read("halves");
    let halves = read.all("SELECT half FROM numbers ORDER BY n", &[], |row| row.number::<u64>(0));
    assert_eq!(halves.await.unwrap(), [3, 8]);
}

/// What is read behind a lock is what the last holder left, whichever instance that was.
#[tokio::test]
async fn a_lock_is_one_for_all_instances() {
    let (database, server) = room().await;
    let other = connect(&database, &[NUMBERS]).await.unwrap();
    let next = |server: Server| {
        tokio::spawn(async move {
            server
                .transaction("next", |tx| async move {
                    tx.lock(*b"the next").await?;
                    let last = "SELECT coalesce(max(n), 0) FROM numbers";
                    let n = tx.row(last, &[], |row| row.number::<u64>(0)).await? + 1;
                    tokio::task::yield_now().await;
                    tx.execute(INSERT, &[n.into(), 0_u32.into(), (&[1]).into()]).await.map(drop)
                })
                .await
        })
    };
    let jobs: Vec<_> = (0..40).flat_map(|_| [next(server.clone()), next(other.clone())]).collect();
    for job in jobs {
        let done: Result<(), Error> = job.await.unwrap();
        done.unwrap();
    }
    assert_eq!(all(&server).await.unwrap(), (1..=80).collect::<Vec<_>>());
}

/// More than there are connections: none is lost, and none is left in the middle of something.
#[tokio::test]
async fn jobs_that_nobody_waits_for_any_more_do_nothing() {
    let (_, server) = room().await;
    for n in 0..50_u64 {
        let job = server.transaction("abandoned", |tx| async move {
            tx.execute(INSERT, &[n.into(), 0_u32.into(), (&[1]).into()]).await?;
            std::future::pending::<Result<(), Error>>().await
        });
        let abandoned =
            tokio::time::timeout(Duration::from_millis(u64::from(n % 2 == 0) * 20), job);
        assert!(abandoned.await.is_err());
    }
    for n in 0..50 {
        insert(&server, n).await.unwrap();
    }
    assert_eq!(all(&server).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_job_that_keeps_its_transaction_cannot_use_anothers() {
    let (_, server) = room().await;
    let kept = server.transaction("keeper", |tx| async move { Ok::<_, Error>(tx) }).await.unwrap();
    for n in 0..20 {
        insert(&server, n).await.unwrap();
    }
    kept.execute("DELETE FROM numbers", &[]).await.unwrap();
    drop(kept);
    assert_eq!(insert(&server, 20).await.unwrap(), 1);
    let rows = all(&server).await.unwrap().len();
    assert!(rows == 1 || rows == 21, "its own statements are its own: {rows}");
}
