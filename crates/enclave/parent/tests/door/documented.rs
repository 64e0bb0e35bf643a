//! The parent as its documents have it, and how it keeps room for what mints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coarse::{FixedClock, UnixTime};
use parent::{DESCRIPTION, Link, ROUTES, router};
use service::contract::Claims;
use telemetry::Metrics;
use wire::http::{ATTESTATION, GENERATE_TOKENS};
use wire::parent::Request;

use crate::fixture::{Mood, mint_request, start};

#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let metrics = Metrics::new(Arc::new(FixedClock::new(UnixTime::from_seconds(0))));
    let claims = Claims {
        name: "parent",
        description: DESCRIPTION,
        routes: &ROUTES,
        router: router(
            Link::new(crate::fixture::address("nowhere".as_ref()), ()),
            &metrics,
            service::Steps::default(),
        ),
        metrics,
        sources: &[include_str!("../../src/routes.rs")],
        documents: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs").as_ref(),
    };
    assert_eq!(claims.deviations().await.unwrap(), [""; 0]);
}

/// However many ask for attestation of an enclave that hangs, two reach it, and what mints still does.
#[tokio::test]
async fn attestations_leave_room_for_what_mints() {
    let room = start().await;
    room.script.set([Mood::Silent]);
    for number in 0..20 {
        let (client, url) = (room.client.clone(), room.url.clone());
        tokio::spawn(async move {
            let path = format!("{ATTESTATION}?nonce={number:02x}");
            let _ = client.get(&url, &path).await;
        });
    }
    let mut asked = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    let is_attest = |request: &Request| matches!(request, Request::Attest { .. });
    while asked.len() < 2 {
        asked.extend(room.script.asked());
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let (client, url) = (room.client.clone(), room.url.clone());
    tokio::spawn(async move {
        let _ = client.post_json(&url, GENERATE_TOKENS, &mint_request()).await;
    });
    while asked.iter().all(is_attest) {
        asked.extend(room.script.asked());
        assert!(Instant::now() < deadline, "{} asked", asked.len());
        tokio::task::yield_now().await;
    }
    assert_eq!(asked.iter().filter(|request| is_attest(request)).count(), 2);
}
