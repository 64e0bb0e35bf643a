//! The service's HTTP routes (see `accounts-api`).

use std::sync::Arc;

use accounts_api::{
    ACCOUNTS, AccountNumber, CreateAccount, CreatedAccount, MintedSrt, REFUND, RESET, Reset, SRT,
    SUBSCRIPTION, SubscriptionState, SubscriptionView,
};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use coarse::Clock;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jws::SigningKey;
use receipt::{Srt, SubscriptionId};
use service::{Json, OperatorSecret, Problem, operator_only};
use telemetry::{Counter, Metrics, Named, Pace};

use crate::{AccountStore, Covered, CreateError, NumberHash, ResetError, StoreError, Subscription};

/// What the routes work with.
pub struct Accounts<S> {
    store: S,
    key: SigningKey,
    clock: Arc<dyn Clock>,
    minted: Counter,
}

impl<S: AccountStore> Accounts<S> {
    /// A service that keeps accounts in `store`, signs SRTs with `key` and counts in `metrics`.
    pub fn new(store: S, key: SigningKey, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        store::measure(metrics);
        let name = "cloakroom_srts_minted_total";
        let minted = Named { name, help: "SRTs minted.", pace: Pace::Hourly };
        Self { store, key, clock, minted: metrics.counter(minted, &[]) }
    }
}

/// The service's routes.
pub fn router<S: AccountStore>(accounts: Accounts<S>, operator: OperatorSecret) -> Router {
    let operators = Router::new()
        .route(ACCOUNTS, post(create::<S>))
        .route(SUBSCRIPTION, get(show::<S>))
        .route(REFUND, post(refund::<S>))
        .route(RESET, post(reset::<S>));
    operator_only(operators, operator).route(SRT, post(mint::<S>)).with_state(Arc::new(accounts))
}

type Service<S> = State<Arc<Accounts<S>>>;

async fn create<S: AccountStore>(
    State(service): Service<S>,
    Json(request): Json<CreateAccount>,
) -> Result<Json<CreatedAccount>, Problem> {
    let covered = Covered::parse(&request.entitlements).map_err(|wrong| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "entitlements-unknown",
            "These entitlements can't be sold",
        )
        .with_detail(wrong.to_string())
    })?;
    let mut rng = coarse::system_rng();
    let account = request.account.unwrap_or_else(|| AccountNumber::random(&mut rng));
    let subscription = Subscription::new(SubscriptionId::random(&mut rng), covered);
    let kept = service.store.create(NumberHash::of(&account), subscription).await;
    let kept = kept.map_err(|error| match error {
        CreateError::Exists => Problem::new(
            StatusCode::CONFLICT,
            "account-exists",
            "An account of this number exists and covers something else",
        ),
        CreateError::Store(error) => failed(&error),
    })?;
    Ok(Json(CreatedAccount { account, subscription: kept.id }))
}

async fn show<S: AccountStore>(
    State(service): Service<S>,
    Path(id): Path<String>,
) -> Result<Json<SubscriptionView>, Problem> {
    let found = service.store.subscription(parse(&id)?).await.map_err(|error| failed(&error))?;
    view(found)
}

async fn refund<S: AccountStore>(
    State(service): Service<S>,
    Path(id): Path<String>,
) -> Result<Json<SubscriptionView>, Problem> {
    let found = service.store.refund(parse(&id)?).await.map_err(|error| failed(&error))?;
    view(found)
}

async fn reset<S: AccountStore>(
    State(service): Service<S>,
    Path(id): Path<String>,
    Json(request): Json<Reset>,
) -> Result<Json<SubscriptionView>, Problem> {
    let found = service.store.reset(parse(&id)?, request.from).await;
    view(found.map_err(|error| {
        match error {
            ResetError::OtherVersion => Problem::new(
                StatusCode::CONFLICT,
                "subscription-version-differs",
                "The subscription is at another version",
            )
            .with_detail("look at the subscription, and reset from its present version"),
            ResetError::Store(error) => failed(&error),
        }
    })?)
}

async fn mint<S: AccountStore>(
    State(service): Service<S>,
    headers: HeaderMap,
) -> Result<Json<MintedSrt>, Problem> {
    let number = shown_number(&headers).ok_or_else(unknown_account)?;
    let found = service.store.of_account(NumberHash::of(&number)).await;
    let subscription = found.map_err(|error| failed(&error))?.ok_or_else(unknown_account)?;
    if subscription.state == SubscriptionState::Refunded {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "subscription-refunded",
            "The subscription was refunded",
        ));
    }
    let now = service.clock.now();
    let srt = subscription.srt().sign(&service.key, now).map_err(|_| {
        tracing::error!("an SRT can't be signed");
        Problem::internal()
    })?;
    service.minted.increment();
    Ok(Json(MintedSrt { srt, ends: Srt::end(now) }))
}

/// The account number in the one `Authorization: Bearer`.
fn shown_number(headers: &HeaderMap) -> Option<AccountNumber> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (shown.next()?, shown.next()) else { return None };
    let (scheme, number) = only.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { number.parse().ok() } else { None }
}

/// One and the same answer, whether the number is missing, malformed or nobody's.
fn unknown_account() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "account-unknown", "There is no account of this number")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

fn view(found: Option<Subscription>) -> Result<Json<SubscriptionView>, Problem> {
    found.map(|subscription| Json(subscription.view())).ok_or_else(unknown_subscription)
}

fn parse(id: &str) -> Result<SubscriptionId, Problem> {
    id.parse().map_err(|_| unknown_subscription())
}

fn unknown_subscription() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "subscription-unknown", "There is no such subscription")
}

/// Nothing was changed, and every request here may be repeated.
fn failed(error: &StoreError) -> Problem {
    tracing::error!(cause = %error.cause(), "the database failed");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-failed", "The service's database failed")
        .with_retry_after(5)
}
