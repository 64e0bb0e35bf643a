//! Refreshes: a lease is extended by a grant for this very request, and by nothing else.

use coarse::{Week, system_rng};
use dip::store::{DipStore as _, Standing};
use dip_api::operator::{Category, LEASE_MARK, LeaseView, Mark, MarkLease};
use lease::{LeaseId, Notice, lease_end, release_end};
use serde_json::json;
use wire::envelope::REFRESH_SIZE;

use crate::fixture::{Mood, Service, gateway, now, problem, read, sealed, start, token};

/// A lease, and the week in which it ends.
async fn leased(service: &Service) -> (LeaseId, Week) {
    (service.assigned(&token(), "eu-1").await.lease, lease_end(now()))
}

async fn is_leased(service: &Service, lease: LeaseId, week: Week) -> bool {
    matches!(service.store.standing(lease, week).await.unwrap(), Standing::Leased(_))
}

#[tokio::test]
async fn a_grant_extends_the_lease() {
    let service = start().await;
    let (lease, end) = leased(&service).await;
    service.enclave.set_ends(end.next());
    assert_eq!(service.refreshed(lease).await.gateway, gateway());
    assert!(is_leased(&service, lease, end).await);
    assert!(!is_leased(&service, lease, end.next()).await);
    let order = service.enclave.last_extension();
    assert_eq!((order.lease, order.frozen), (lease, false));
}

#[tokio::test]
async fn nothing_is_shortened() {
    let service = start().await;
    let (lease, end) = leased(&service).await;
    service.enclave.set_ends(Week::new(end.number() - 3));
    service.refreshed(lease).await;
    assert!(is_leased(&service, lease, Week::new(end.number() - 1)).await);
}

#[tokio::test]
async fn a_refusal_extends_nothing_and_looks_like_a_grant() {
    let service = start().await;
    let (lease, end) = leased(&service).await;
    service.enclave.set_ends(end.next());
    service.enclave.set_mood(Mood::Refuses);
    let refused = service.refresh(lease).await;
    assert!(!is_leased(&service, lease, end).await);
    service.enclave.set_mood(Mood::Grants);
    let granted = service.refresh(lease).await;
    assert_eq!((refused.status(), refused.body().len()), (granted.status(), granted.body().len()));
}

#[tokio::test]
async fn a_grant_for_something_else_extends_nothing() {
    for mood in [Mood::GrantsAnotherLease, Mood::GrantsAnotherRequest] {
        let service = start().await;
        let (lease, end) = leased(&service).await;
        service.enclave.set_ends(end.next());
        service.enclave.set_mood(mood);
        assert_eq!(problem(&service.refresh(lease).await), (503, "enclave-unavailable".into()));
        assert!(!is_leased(&service, lease, end).await);
    }
}

#[tokio::test]
async fn an_unknown_lease_gets_no_order() {
    let service = start().await;
    let unknown = LeaseId::random(&mut system_rng());
    assert_eq!(problem(&service.refresh(unknown).await), (404, "lease-unknown".into()));
    assert_eq!(service.enclave.calls(), 0);
}

#[tokio::test]
async fn a_mere_reservation_gets_no_order() {
    let service = start().await;
    service.enclave.set_mood(Mood::Refuses);
    let (lease, _) = leased(&service).await;
    service.enclave.set_mood(Mood::Grants);
    assert_eq!(problem(&service.refresh(lease).await), (404, "lease-unknown".into()));
    assert_eq!(service.enclave.calls(), 1);
}

#[tokio::test]
async fn an_ended_lease_gets_no_order() {
    let service = start().await;
    let (lease, end) = leased(&service).await;
    service.clock.set(end.start());
    assert_eq!(problem(&service.refresh(lease).await), (410, "lease-ended".into()));
    service.tidy().await;
    assert_eq!(problem(&service.refresh(lease).await), (404, "lease-unknown".into()));
    assert_eq!(service.enclave.calls(), 1);
}

#[tokio::test]
async fn the_order_says_that_a_lease_is_frozen_and_why() {
    let service = start().await;
    let lease = service.assigned(&token(), "us-1").await.lease;
    let address = "198.51.100.1".parse().unwrap();
    let notice =
        Notice { reference: "case-7".parse().unwrap(), text: "too much mail".parse().unwrap() };
    let mark = |mark| MarkLease { address, mark, category: Category::Spam };
    let frozen: LeaseView =
        read(&service.operate(LEASE_MARK, &mark(Mark::Freeze(notice.clone()))).await);
    assert!(frozen.frozen);
    service.refreshed(lease).await;
    let order = service.enclave.last_extension();
    assert_eq!((order.frozen, order.notice), (true, Some(notice)));
    let thawed: LeaseView = read(&service.operate(LEASE_MARK, &mark(Mark::Thaw)).await);
    assert!(!thawed.frozen);
    service.refreshed(lease).await;
    let order = service.enclave.last_extension();
    assert_eq!((order.frozen, order.notice), (false, None));
    let free = MarkLease { address: "192.0.2.1".parse().unwrap(), ..mark(Mark::Thaw) };
    assert_eq!(problem(&service.operate(LEASE_MARK, &free).await), (404, "not-leased".into()));
}

#[tokio::test]
async fn a_lease_that_is_given_back_ends_when_its_tokens_have() {
    let service = start().await;
    let (lease, _) = leased(&service).await;
    service.enclave.set_mood(Mood::Releases);
    service.enclave.set_ends(release_end(now()));
    service.refreshed(lease).await;
    assert_eq!(service.status("eu-1").await.grace, 1);
    service.enclave.set_mood(Mood::Grants);
    assert_eq!(problem(&service.refresh(lease).await), (410, "lease-ended".into()));
    service.tidy().await;
    assert_eq!(service.counts("eu-1").await, [1, 0, 1, 0]);
    service.clock.set(release_end(now()).start());
    service.tidy().await;
    assert_eq!(service.counts("eu-1").await, [1, 0, 0, 1]);
}

#[tokio::test]
async fn a_release_of_something_else_ends_nothing() {
    let service = start().await;
    let (lease, end) = leased(&service).await;
    service.enclave.set_mood(Mood::Releases);
    service.enclave.set_keys(8, 1);
    assert_eq!(problem(&service.refresh(lease).await), (503, "enclave-unavailable".into()));
    assert!(is_leased(&service, lease, Week::new(end.number() - 1)).await);
}

#[tokio::test]
async fn bodies_of_another_form_get_no_order() {
    let service = start().await;
    let (lease, _) = leased(&service).await;
    for (body, slug) in [
        (json!({"lease": lease}), "sealed-request-missing"),
        (json!({"lease": lease, "sealed": sealed(REFRESH_SIZE + 1)}), "sealed-request-size"),
        (json!({"lease": "03", "sealed": sealed(REFRESH_SIZE)}), "unprocessable"),
        (json!({"lease": lease, "sealed": sealed(REFRESH_SIZE), "x": 1}), "unprocessable"),
    ] {
        let response = service.post(dip_api::REFRESH, &[], body.to_string()).await;
        assert_eq!(problem(&response), (422, slug.into()));
    }
    let response = service.post(dip_api::REFRESH, &[], "{".into()).await;
    assert_eq!(problem(&response).0, 400);
    assert_eq!(service.enclave.calls(), 1);
}
