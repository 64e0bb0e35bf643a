//! What is there and what isn't can't be told apart but by who opens it.

use std::collections::BTreeSet;
use std::time::Duration;

use backup_api::{BLOB_SIZE, Locator, READ};
use http::HeaderMap;

use crate::fixture::{NOW, Service, Writer, blob, start};

const REQUESTS: &str = "cloakroom_http_requests_total";

/// An answer's status and headers, without the date.
fn around(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let kept = headers.iter().filter(|(name, _)| *name != "date");
    kept.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

#[tokio::test]
async fn a_place_without_a_backup_answers_like_one_with() {
    let service = start().await;
    let (one, other) = (Writer::new(1), Writer::new(2));
    assert_eq!(service.write(&one.writes(&blob(7))).await.status(), 200);
    let (there, absent) = (service.read(&one.locator).await, service.read(&other.locator).await);
    assert_eq!((there.status(), absent.status()), (200.try_into().unwrap(), there.status()));
    assert_eq!(around(there.headers()), around(absent.headers()));
    assert_eq!(there.body().len(), absent.body().len());
    assert!(service.found(&one.locator).await == blob(7));
}

/// What the service counted, but for how long handlers took, and commits, which are counted for all stores of a process.
fn counted(service: &Service) -> Vec<String> {
    service.clock.set(NOW.plus(Duration::from_secs(7200)));
    service.metrics.publish();
    let shown = service.metrics.render();
    let apart = |line: &&str| line.contains("_duration_") || line.contains("_store_");
    shown.lines().filter(|line| !apart(line)).map(str::to_owned).collect()
}

#[tokio::test]
async fn reads_are_counted_alike_whatever_they_find() {
    let mut all = Vec::new();
    for asked in [1, 2] {
        let service = start().await;
        service.write(&Writer::new(1).writes(&blob(7))).await;
        for _ in 0..30 {
            service.read(&Writer::new(asked).locator).await;
        }
        all.push(counted(&service));
    }
    assert!(all[0].contains(&format!("{REQUESTS}{{route=\"{READ}\",status=\"2xx\"}} 30")));
    assert_eq!(all[0], all[1]);
}

#[tokio::test]
async fn what_stands_in_a_backups_place_stays_the_same() {
    let service = start().await;
    let (one, nobody) = (Writer::new(1), Writer::new(2));
    let before = [service.found(&one.locator).await, service.found(&nobody.locator).await];
    assert!(before[0] != before[1], "each place has its own");
    assert!(service.found(&nobody.locator).await == before[1]);
    service.write(&one.writes(&blob(7))).await;
    assert!(service.found(&nobody.locator).await == before[1]);
    let service = service.restart().await;
    assert!(service.found(&nobody.locator).await == before[1]);
    assert!(service.found(&one.locator).await == blob(7));
    // Where one was, it is as if there had never been one.
    service.remove(&one.removes()).await;
    assert!(service.found(&one.locator).await == before[0]);
}

#[tokio::test]
async fn neighbours_are_not_taken_for_what_was_asked_for() {
    let service = start().await;
    let people: Vec<Writer> = (1..=9).map(Writer::new).collect();
    for (number, one) in (1..).zip(&people) {
        service.write(&one.writes(&blob(number))).await;
    }
    let mut seen = BTreeSet::new();
    for one in &people {
        for step in [1_u8, 255] {
            let mut next = *one.locator.bytes();
            next[31] = next[31].wrapping_add(step);
            let found = service.found(&Locator::from_bytes(next)).await;
            assert!(seen.insert(found.bytes().to_vec()), "a decoy twice");
            assert!(found.bytes().iter().any(|byte| *byte != found.bytes()[0]));
        }
    }
    for locator in [[0; 32], [0xff; 32]] {
        let found = service.found(&Locator::from_bytes(locator)).await;
        assert!(seen.insert(found.bytes().to_vec()));
    }
    assert!(seen.iter().all(|bytes| bytes.len() == BLOB_SIZE));
}
