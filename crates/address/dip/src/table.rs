//! The service's routes, as they are limited, counted and documented.

use dip_api::operator::{
    Alter, Altered, CASES, Cases, Complained, Complaint, GATEWAYS, Gateways, Imported,
    KnownTokenKeys, LEASE_AT, LEASE_MARK, LeaseView, MarkLease, NamedGateway, PLACES, POOL,
    POOL_ADDRESSES, POOL_ALTER, POOL_IMPORT, POOL_SURVEY, POOL_TIDY, Page, Place, Places,
    PoolImport, PoolStatus, Survey, TOKEN_KEYS, Tidied, TokenKeys,
};
use dip_api::{ASSIGN, Assign, Assigned, PROVIDER, REFRESH, REGIONS, Refresh, Refreshed, Regions};
use key_ring::{JWKS, JWKS_TYPE};
use operating::TRAIL_FAILED;
use service::{Access, Body, HEALTH_ROUTE, METRICS_ROUTE, Problems, Route};

/// What the service's OpenAPI document says first.
pub const DESCRIPTION: &str =
    "The DIP service: a pool of addresses, leased against tokens. Knows no customer.";

/// What the enclave makes of a sealed request, or what became of the lease.
const OF_MINTING: Problems = &[
    (409, "enclave-key-changed"),
    (410, "address-withdrawn"),
    (410, "lease-ended"),
    (422, "sealed-request-missing"),
    (422, "sealed-request-size"),
    (422, "sealed-request-unopenable"),
    (503, "enclave-unavailable"),
];

/// Room for as many addresses, or keys, as one request may name.
const LARGE_BODY: usize = 2 * 1024 * 1024;

/// What an operator asks for.
const fn shows(path: &'static str, summary: &'static str, answer: Body) -> Route {
    Route::get(path, summary, answer).with(Access::Operator)
}

/// What an operator does; it may be repeated.
const fn does(path: &'static str, summary: &'static str, takes: Body, answer: Body) -> Route {
    Route::post(path, summary, answer).takes(takes).with(Access::Operator)
}

/// The routes.
pub static ROUTES: [Route; 23] = [
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
            (503, "reservation-lost"),
        ],
    ]),
    Route::post(
        REFRESH,
        "Has the enclave decide about extending a lease, or about its end.",
        Body::json::<Refreshed>(),
    )
    .takes(Body::json::<Refresh>())
    .fails(&[OF_MINTING, &[(404, "lease-unknown")]]),
    Route::get(PROVIDER, "The provider's file, as it was signed.", Body::bytes("application/json")),
    Route::get(JWKS, "Lists the keys that orders may be verified with now.", Body::bytes(JWKS_TYPE)),
    shows(POOL, "Counts the pool's addresses by region and state.", Body::json::<PoolStatus>()),
    shows(POOL_SURVEY, "Counts the pool, and what it will become.", Body::json::<Survey>()),
    shows(POOL_ADDRESSES, "Lists the pool's addresses, a page at a time.", Body::json::<Page>())
        .asks(&[
            ("region", "Those of this region.", false),
            ("gateway", "Those at this gateway.", false),
            ("state", "Those in this state.", false),
            ("after", "Those after this address.", false),
        ])
        .fails(&[&[(422, "query-refused")]]),
    Route {
        max_body: LARGE_BODY,
        ..does(POOL_IMPORT, "Adds addresses, all or none.", Body::json::<PoolImport>(), Body::json::<Imported>())
            .fails(&[&[
                (409, "address-conflict"),
                (422, "gateway-unknown"),
                (422, "too-many-addresses"),
                TRAIL_FAILED,
            ]])
    },
    Route {
        max_body: LARGE_BODY,
        ..does(
            POOL_ALTER,
            "Drains, blocks or opens addresses, or moves them to another gateway.",
            Body::json::<Alter>(),
            Body::json::<Altered>(),
        )
        .fails(&[&[(422, "gateway-unknown"), (422, "too-many-addresses"), TRAIL_FAILED]])
    },
    Route::post(POOL_TIDY, "Ends what has ended, a part at a time.", Body::json::<Tidied>())
        .with(Access::Operator),
    shows(PLACES, "Lists regions and where they are.", Body::json::<Places>()),
    does(PLACES, "Says where a region is.", Body::json::<Place>(), Body::json::<Place>())
        .fails(&[&[(422, "place-refused"), TRAIL_FAILED]]),
    shows(GATEWAYS, "Lists gateways.", Body::json::<Gateways>()),
    does(
        GATEWAYS,
        "Names a gateway, or changes what is known of it.",
        Body::json::<NamedGateway>(),
        Body::json::<NamedGateway>(),
    )
    .fails(&[&[(422, "gateway-url"), TRAIL_FAILED]]),
    shows(TOKEN_KEYS, "Lists epochs whose tokens can be verified.", Body::json::<KnownTokenKeys>()),
    Route {
        max_body: LARGE_BODY,
        ..does(
            TOKEN_KEYS,
            "Takes in the issuer's public keys.",
            Body::json::<TokenKeys>(),
            Body::json::<KnownTokenKeys>(),
        )
        .fails(&[&[(422, "tree-missing"), (422, "token-key-refused"), TRAIL_FAILED]])
    },
    shows(LEASE_AT, "Shows the lease of an address.", Body::json::<LeaseView>())
        .asks(&[("address", "The address.", true)])
        .fails(&[&[(404, "not-leased"), (422, "query-refused")]]),
    does(
        LEASE_MARK,
        "Freezes or thaws the lease of an address, or has its holder told something.",
        Body::json::<MarkLease>(),
        Body::json::<LeaseView>(),
    )
    .fails(&[&[(404, "not-leased"), TRAIL_FAILED]]),
    shows(CASES, "Counts complaints, and what was done about them.", Body::json::<Cases>()),
    Route::post(CASES, "Counts a complaint, and shows whose address it is about.", Body::json::<Complained>())
        .takes(Body::json::<Complaint>())
        .with(Access::Operator)
        .fails(&[&[TRAIL_FAILED]]),
    Route { problems: &[&[(503, "starting")]], ..HEALTH_ROUTE },
    METRICS_ROUTE,
];
