//! The gateway's routes, as they are limited, counted and documented.

use gateway_api::{AddPeer, PEERS, Peer};
use service::{Body, HEALTH_ROUTE, METRICS_ROUTE, Route};

/// What the gateway's OpenAPI document says first.
pub const DESCRIPTION: &str =
    "The gateway's control API: leased addresses to WireGuard peers. Knows no customer.";

/// The routes.
pub static ROUTES: [Route; 3] = [
    Route::post(
        PEERS,
        "Makes the device that an access token names a peer until the token ends; may be repeated.",
        Body::json::<Peer>(),
    )
    .takes(Body::json::<AddPeer>())
    .fails(&[&[
        (401, "dat-refused"),
        (401, "dat-expired"),
        (403, "device-mismatch"),
        (422, "address-not-served"),
        (503, "enclave-unavailable"),
    ]]),
    Route { problems: &[&[(503, "starting")]], ..HEALTH_ROUTE },
    METRICS_ROUTE,
];
