//! The service as its documents have it.

use std::sync::Arc;

use service::contract::Claims;
use telemetry::Metrics;

use super::room::Room;
use crate::{DESCRIPTION, ROUTES, router};

#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let room = Room::new().await;
    let metrics = Metrics::new(Arc::clone(&room.issuer.clock));
    let claims = Claims {
        name: "issuer",
        description: DESCRIPTION,
        routes: &ROUTES,
        router: router(Arc::clone(&room.issuer), &metrics),
        metrics,
        sources: &[include_str!("../routes.rs")],
        documents: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs").as_ref(),
    };
    assert_eq!(claims.deviations().await.unwrap(), [""; 0]);
}
