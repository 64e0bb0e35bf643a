//! The service's routes, as they are limited, counted and documented.

use accounts_api::{
    ACCOUNTS, ChangeNumber, CreateAccount, CreatedAccount, MintedSrt, NUMBER, NumberChanged,
    REFUND, RESET, Reset, SRT, SUBSCRIPTION, SubscriptionView,
};
use key_ring::{JWKS, JWKS_TYPE};
use operating::TRAIL_FAILED;
use service::{Access, Body, HEALTH_ROUTE, METRICS_ROUTE, Route};

/// What the service's OpenAPI document says first.
pub const DESCRIPTION: &str =
    "Accounts, subscriptions and the receipts (SRT) that prove them. Knows no address.";

const FAILS: (u16, &str) = (503, "store-failed");
const UNKNOWN: (u16, &str) = (404, "subscription-unknown");

/// The routes.
pub static ROUTES: [Route; 9] = [
    Route::post(
        ACCOUNTS,
        "Makes an account with a subscription; may be repeated with the same number.",
        Body::json::<CreatedAccount>(),
    )
    .takes(Body::json::<CreateAccount>())
    .with(Access::Operator)
    .fails(&[&[(422, "entitlements-unknown"), (409, "account-exists"), FAILS, TRAIL_FAILED]]),
    Route::get(SUBSCRIPTION, "Shows a subscription.", Body::json::<SubscriptionView>())
        .with(Access::Operator)
        .fails(&[&[UNKNOWN, FAILS]]),
    Route::post(REFUND, "Refunds a subscription.", Body::json::<SubscriptionView>())
        .with(Access::Operator)
        .fails(&[&[UNKNOWN, FAILS, TRAIL_FAILED]]),
    Route::post(
        RESET,
        "Raises a subscription's version by one; may be repeated.",
        Body::json::<SubscriptionView>(),
    )
    .takes(Body::json::<Reset>())
    .with(Access::Operator)
    .fails(&[&[UNKNOWN, (409, "subscription-version-differs"), FAILS, TRAIL_FAILED]]),
    Route::post(SRT, "Mints a receipt of the customer's subscription.", Body::json::<MintedSrt>())
        .with(Access::Bearer("The account number: 24 digits."))
        .fails(&[&[(401, "account-unknown"), (403, "subscription-refunded"), FAILS]]),
    Route::post(
        NUMBER,
        "Gives the account another number; may be repeated.",
        Body::json::<NumberChanged>(),
    )
    .takes(Body::json::<ChangeNumber>())
    .with(Access::Bearer("The account number: 24 digits."))
    .fails(&[&[(401, "account-unknown"), (409, "account-exists"), FAILS]]),
    Route::get(
        JWKS,
        "Lists the keys that receipts may be verified with now.",
        Body::bytes(JWKS_TYPE),
    ),
    HEALTH_ROUTE,
    METRICS_ROUTE,
];
