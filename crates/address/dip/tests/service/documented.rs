//! The service as its documents have it.

use std::sync::Arc;

use dip::{DESCRIPTION, ROUTES, router};
use service::contract::Claims;

use crate::fixture::{operator, start};

#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let service = start().await;
    let claims = Claims {
        name: "dip",
        description: DESCRIPTION,
        routes: &ROUTES,
        router: router(Arc::clone(&service.dip), operator()),
        metrics: service.metrics.clone(),
        sources: &[
            include_str!("../../src/http/problems.rs"),
            include_str!("../../src/http/mod.rs"),
            operating::PROBLEM_SOURCE,
        ],
        documents: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs").as_ref(),
    };
    assert_eq!(claims.deviations().await.unwrap(), [""; 0]);
}
