//! The service as its documents have it.

use std::sync::Arc;

use backup::{DESCRIPTION, ROUTES, router};
use service::contract::Claims;

use crate::fixture::start;

#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let service = start().await;
    let claims = Claims {
        name: "backup",
        description: DESCRIPTION,
        routes: &ROUTES,
        router: router(Arc::clone(&service.backups)),
        metrics: service.metrics.clone(),
        sources: &[include_str!("../../src/routes.rs")],
        documents: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs").as_ref(),
    };
    assert_eq!(claims.deviations().await.unwrap(), [""; 0]);
}
