//! Assignments: what is kept at each step, and what a repetition finds.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use coarse::{Week, system_rng};
use dip::MintError;
use dip::store::{Assignment, Committed, DipStore as _};
use dip_api::Regions;
use http::header::RETRY_AFTER;
use lease::{LeaseId, lease_end};
use privacy_pass::TokenHeader;
use serde_json::json;
use tokio::task::JoinSet;
use wire::envelope::ASSIGN_SIZE;

use crate::fixture::{
    EPOCH, Mood, PURPOSE, QUARANTINE, Service, gateway, now, problem, read, sealed, start,
    start_unattested, token,
};

const UNTOUCHED: [u32; 4] = [2, 0, 0, 0];

async fn refused_body(service: &Service, body: serde_json::Value) -> (u16, String) {
    let header = TokenHeader::build(&token());
    let response = service.post(dip_api::ASSIGN, &[header], body.to_string()).await;
    assert_eq!(service.counts("eu-1").await, UNTOUCHED);
    assert_eq!(service.enclave.calls(), 0);
    problem(&response)
}

#[tokio::test]
async fn a_granted_token_holds_a_leased_address() {
    let service = start().await;
    let assigned = service.assigned(&token(), "eu-1").await;
    assert_eq!(assigned.gateway, gateway());
    assert_eq!(service.counts("eu-1").await, [1, 0, 1, 0]);
}

#[tokio::test]
async fn a_missing_sealed_request_spends_nothing() {
    let service = start().await;
    for body in [json!({"region": "eu-1"}), json!({"region": "eu-1", "sealed": ""})] {
        let refused = refused_body(&service, body).await;
        assert_eq!(refused, (422, "sealed-request-missing".into()));
    }
}

#[tokio::test]
async fn a_sealed_request_of_another_size_spends_nothing() {
    let service = start().await;
    for size in [ASSIGN_SIZE - 1, ASSIGN_SIZE + 1] {
        let refused = refused_body(&service, json!({"region": "eu-1", "sealed": sealed(size)}));
        assert_eq!(refused.await, (422, "sealed-request-size".into()));
    }
}

#[tokio::test]
async fn an_unknown_region_spends_nothing() {
    let service = start().await;
    let body = json!({"region": "mars", "sealed": sealed(ASSIGN_SIZE)});
    assert_eq!(refused_body(&service, body).await, (422, "region-unknown".into()));
}

#[tokio::test]
async fn bodies_of_another_form_spend_nothing() {
    let service = start().await;
    let sealed = sealed(ASSIGN_SIZE);
    for body in [
        json!({"region": "eu-1", "sealed": sealed, "more": 1}),
        json!({"region": "EU", "sealed": sealed}),
        json!({"region": "eu-1", "sealed": "="}),
        json!([]),
    ] {
        assert_eq!(refused_body(&service, body).await.0, 422);
    }
    let header = [TokenHeader::build(&token())];
    let response = service.post(dip_api::ASSIGN, &header, "{".into()).await;
    assert_eq!(problem(&response).0, 400);
    let response = service.post(dip_api::ASSIGN, &header, "x".repeat(100_000)).await;
    assert_eq!(problem(&response).0, 413);
    assert_eq!(service.counts("eu-1").await, UNTOUCHED);
}

#[tokio::test]
async fn an_exhausted_region_spends_nothing() {
    let service = start().await;
    service.assigned(&token(), "us-1").await;
    let late = token();
    let response = service.assign(&late, "us-1").await;
    assert_eq!(problem(&response), (503, "pool-exhausted".into()));
    assert!(response.headers().contains_key(RETRY_AFTER));
    // The same token is good elsewhere.
    service.assigned(&late, "eu-1").await;
    let regions: Regions = read(&service.get(dip_api::REGIONS).await);
    assert_eq!(regions.regions, ["eu-1".parse().unwrap()]);
}

#[tokio::test]
async fn the_same_token_gets_the_same_lease_whatever_region_it_wishes() {
    let service = start().await;
    let token = token();
    let first = service.assigned(&token, "eu-1").await;
    for region in ["eu-1", "us-1", "mars"] {
        assert_eq!(service.assigned(&token, region).await.lease, first.lease);
    }
    assert_eq!(service.counts("eu-1").await, [1, 0, 1, 0]);
    assert_eq!(service.counts("us-1").await, [1, 0, 0, 0]);
}

#[tokio::test]
async fn concurrent_requests_with_one_token_make_one_lease() {
    let service = start().await;
    let token = token();
    let service = Arc::new(service);
    let mut requests = JoinSet::new();
    for _ in 0..8 {
        let (service, token) = (Arc::clone(&service), token.clone());
        requests.spawn(async move { service.assigned(&token, "eu-1").await.lease });
    }
    let leases: HashSet<_> = requests.join_all().await.into_iter().collect();
    assert_eq!(leases.len(), 1);
    assert_eq!(service.counts("eu-1").await, [1, 0, 1, 0]);
}

#[tokio::test]
async fn a_refusal_keeps_the_reservation_and_looks_like_a_grant() {
    let service = start().await;
    let token = token();
    service.enclave.set_mood(Mood::Refuses);
    let refused = service.assign(&token, "eu-1").await;
    assert_eq!(service.counts("eu-1").await, [1, 1, 0, 0]);
    service.enclave.set_mood(Mood::Grants);
    let granted = service.assign(&token, "eu-1").await;
    assert_eq!(service.counts("eu-1").await, [1, 0, 1, 0]);
    assert_eq!(refused.status(), granted.status());
    assert_eq!(
        refused.headers().keys().collect::<Vec<_>>(),
        granted.headers().keys().collect::<Vec<_>>()
    );
    assert_eq!(refused.body().len(), granted.body().len());
}

#[tokio::test]
async fn a_grant_for_something_else_commits_nothing() {
    for mood in [Mood::GrantsAnotherLease, Mood::GrantsAnotherRequest] {
        let service = start().await;
        service.enclave.set_mood(mood);
        let response = service.assign(&token(), "eu-1").await;
        assert_eq!(problem(&response), (503, "enclave-unavailable".into()));
        assert_eq!(service.counts("eu-1").await, [1, 1, 0, 0]);
    }
}

#[tokio::test]
async fn nothing_sealed_and_no_token_is_kept() {
    let service = start().await;
    let token = token();
    let lease = service.assigned(&token, "eu-1").await.lease;
    service.refreshed(lease).await;
    let bytes = std::fs::read(service.room.path().join("dip.sqlite")).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    // What the fixture seals, what its enclave answers, and the token's authenticator.
    for secret in [&[5; 32][..], &[7; 32], &token.encode()[98..130]] {
        assert!(!holds(secret));
    }
    assert!(holds(lease.bytes()) && holds(token.spend_hash().as_bytes()));
}

#[tokio::test]
async fn a_grant_by_an_unattested_key_commits_nothing() {
    let service = start().await;
    service.enclave.set_keys(8, 1);
    let response = service.assign(&token(), "eu-1").await;
    assert_eq!(problem(&response), (503, "enclave-unavailable".into()));
    assert_eq!(service.counts("eu-1").await, [1, 1, 0, 0]);
}

#[tokio::test]
async fn an_enclave_with_a_new_key_is_attested_again() {
    let service = start().await;
    service.enclave.set_keys(8, 8);
    service.assigned(&token(), "eu-1").await;
    assert_eq!(service.counts("eu-1").await, [1, 0, 1, 0]);
}

#[tokio::test]
async fn nothing_is_reserved_before_the_enclave_is_attested() {
    let service = start_unattested().await;
    assert_eq!(problem(&service.get("/health").await), (503, "starting".into()));
    let token = token();
    let response = service.assign(&token, "eu-1").await;
    assert_eq!(problem(&response), (503, "enclave-unavailable".into()));
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert_eq!(service.counts("eu-1").await, UNTOUCHED);
    service.attest().await;
    assert_eq!(service.get("/health").await.status(), 200);
    service.assigned(&token, "eu-1").await;
}

#[tokio::test]
async fn what_the_enclave_failed_at_may_be_tried_again() {
    let service = start().await;
    let token = token();
    for (error, status, slug) in [
        (MintError::OtherKey, 409, "enclave-key-changed"),
        (MintError::Unopenable, 422, "sealed-request-unopenable"),
        (MintError::Order, 503, "enclave-unavailable"),
        (MintError::Unavailable, 503, "enclave-unavailable"),
    ] {
        service.enclave.set_mood(Mood::Fails(error));
        let response = service.assign(&token, "eu-1").await;
        assert_eq!(problem(&response), (status, slug.into()));
        assert_eq!(service.counts("eu-1").await, [1, 1, 0, 0]);
    }
    service.enclave.set_mood(Mood::Grants);
    service.assigned(&token, "eu-1").await;
    assert_eq!(service.counts("eu-1").await, [1, 0, 1, 0]);
}

#[tokio::test]
async fn a_reservation_lives_until_its_tokens_deadline() {
    let service = start().await;
    service.enclave.set_mood(Mood::Refuses);
    let token = token();
    let reserved = service.assigned(&token, "eu-1").await;
    service.clock.set(PURPOSE.spend_deadline(EPOCH));
    service.tidy().await;
    assert_eq!(service.assigned(&token, "eu-1").await.lease, reserved.lease);
    service.clock.set(PURPOSE.spend_deadline(EPOCH).week().next().start());
    service.tidy().await;
    assert_eq!(service.counts("eu-1").await, UNTOUCHED);
}

#[tokio::test]
async fn a_lease_outlives_its_tokens_deadline() {
    let service = start().await;
    let token = token();
    let assigned = service.assigned(&token, "eu-1").await;
    service.clock.set(PURPOSE.spend_deadline(EPOCH));
    service.tidy().await;
    assert_eq!(service.assigned(&token, "eu-1").await.lease, assigned.lease);
}

#[tokio::test]
async fn an_ended_lease_frees_its_address_after_quarantine() {
    let service = start().await;
    service.assigned(&token(), "eu-1").await;
    let end = lease_end(now());
    service.clock.set(end.start().minus(Duration::from_secs(1)));
    service.tidy().await;
    assert_eq!(service.counts("eu-1").await, [1, 0, 1, 0]);
    service.clock.set(end.start());
    service.tidy().await;
    assert_eq!(service.counts("eu-1").await, [1, 0, 0, 1]);
    let free = Week::new(end.number() + QUARANTINE).start();
    service.clock.set(free.minus(Duration::from_secs(1)));
    service.tidy().await;
    assert_eq!(service.counts("eu-1").await, [1, 0, 0, 1]);
    service.clock.set(free);
    service.tidy().await;
    assert_eq!(service.counts("eu-1").await, UNTOUCHED);
}

#[tokio::test]
async fn a_stranger_cannot_commit() {
    let service = start().await;
    service.enclave.set_mood(Mood::Refuses);
    let (mine, other) = (token(), token());
    let lease = service.assigned(&mine, "eu-1").await.lease;
    let ends = lease_end(now());
    let stranger = LeaseId::random(&mut system_rng());
    let until = PURPOSE.spend_deadline(EPOCH).week().next();
    let address = service.store.leases(None, 1).await.unwrap();
    assert_eq!(address, []);
    for address in ["192.0.2.1", "192.0.2.2"] {
        for (token, lease) in [(&other, lease), (&mine, stranger)] {
            let (token, address) = (token.spend_hash(), address.parse().unwrap());
            let assignment = Assignment { token, until, lease, address, ends };
            let committed = service.store.commit(assignment).await.unwrap();
            assert_eq!(committed, Committed::Gone);
        }
    }
    assert_eq!(service.counts("eu-1").await, [1, 1, 0, 0]);
}
