//! The service's routes, as they are limited, counted and documented.

use dip_api::{ASSIGN, Assign, Assigned, PROVIDER, REFRESH, REGIONS, Refresh, Refreshed, Regions};
use key_ring::{JWKS, JWKS_TYPE};
use service::{Access, Body, HEALTH_ROUTE, METRICS_ROUTE, Problems, Route};

/// What the service's OpenAPI document says first.
pub const DESCRIPTION: &str =
    "The DIP service: a pool of addresses, leased against tokens. Knows no customer.";

/// What the enclave makes of a sealed request, or what became of the lease.
const OF_MINTING: Problems = &[
    (409, "enclave-key-changed"),
    (410, "lease-ended"),
    (422, "sealed-request-missing"),
    (422, "sealed-request-size"),
    (422, "sealed-request-unopenable"),
    (503, "enclave-unavailable"),
];

/// The routes.
pub static ROUTES: [Route; 7] = [
    Route::get(REGIONS, "Lists regions with an address to give.", Body::json::<Regions>()),
    Route::post(
        ASSIGN,
        "Reserves an address for a token and has the enclave decide about the lease; may be repeated.",
        Body::json::<Assigned>(),
    )
    .takes(Body::json::<Assign>())
    .with(Access::PrivateToken)
    .fails(&[
        OF_MINTING,
        &[
            (401, "token-required"),
            (401, "token-refused"),
            (422, "region-unknown"),
            (503, "pool-exhausted"),
        ],
    ]),
    Route::post(REFRESH, "Has the enclave decide about extending a lease.", Body::json::<Refreshed>())
        .takes(Body::json::<Refresh>())
        .fails(&[OF_MINTING, &[(404, "lease-unknown")]]),
    Route::get(PROVIDER, "The provider's file, as it was signed.", Body::bytes("application/json")),
    Route::get(JWKS, "Lists the keys that orders may be verified with now.", Body::bytes(JWKS_TYPE)),
    Route { problems: &[&[(503, "starting")]], ..HEALTH_ROUTE },
    METRICS_ROUTE,
];
