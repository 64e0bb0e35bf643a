//! The service's HTTP routes (see `accounts-api`).

use std::sync::Arc;

use accounts_api::{
    ACCOUNTS, AccountNumber, AccountSalt, ChangeNumber, CreateAccount, CreatedAccount, MintedSrt,
    NUMBER, NumberChanged, REFUND, RESET, Reset, SRT, SUBSCRIPTION, SubscriptionState,
    SubscriptionView,
};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use coarse::Clock;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jws::KeySet;
use key_ring::{JWKS, JWKS_TYPE, LiveSigner};
use operating::{Acts, OperatorName};
use receipt::{Srt, SubscriptionId};
use service::{Json, OperatorSecret, Problem, Steps, operator_only};
use telemetry::{Counter, Metrics, Named, Pace};
use trail::Trail;

use crate::{
    AccountStore, Covered, CreateError, NumberHash, ResetError, StoreError, Subscription, acts,
};

/// What the routes work with.
pub struct Accounts<S> {
    store: S,
    signer: LiveSigner,
    clock: Arc<dyn Clock>,
    acts: Acts,
    minted: Counter,
    steps: Steps,
}

impl<S: AccountStore> Accounts<S> {
    /// A service that keeps accounts in `store`, signs SRTs with `signer` and counts in `metrics`; what operators do leaves a line in
    /// `trail`.
    pub fn new(
        store: S,
        signer: LiveSigner,
        clock: Arc<dyn Clock>,
        trail: Trail,
        metrics: &Metrics,
    ) -> Self {
        store::measure(metrics);
        let name = "cloakroom_srts_minted_total";
        let minted = Named { name, help: "SRTs minted.", pace: Pace::Hourly };
        let minted = metrics.counter(minted, &[]);
        let acts = Acts::new(trail, Arc::clone(&clock));
        Self { store, signer, clock, acts, minted, steps: Steps::default() }
    }

    /// The same service, which tells of its steps.
    #[must_use]
    pub fn telling(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }
}

/// The service's routes.
pub fn router<S: AccountStore>(accounts: Accounts<S>, operator: OperatorSecret) -> Router {
    let operators = Router::new()
        .route(ACCOUNTS, post(create::<S>))
        .route(SUBSCRIPTION, get(show::<S>))
        .route(REFUND, post(refund::<S>))
        .route(RESET, post(reset::<S>));
    operator_only(operators, operator)
        .route(SRT, post(mint::<S>))
        .route(NUMBER, post(change_number::<S>))
        .route(JWKS, get(jwks::<S>))
        .with_state(Arc::new(accounts))
}

type Service<S> = State<Arc<Accounts<S>>>;

async fn create<S: AccountStore>(
    State(service): Service<S>,
    operator: OperatorName,
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
    let salt = AccountSalt::random(&mut rng);
    let kept = service.store.create(NumberHash::of(&account), salt, subscription).await;
    let kept = kept.map_err(|error| match error {
        CreateError::Exists => taken(),
        CreateError::Store(error) => failed(&error),
    });
    // Not whose: the number is the customer's secret, and the order of accounts is nobody's business.
    let kept = service
        .acts
        .noted(operator, acts::ACCOUNT_CREATE, request.entitlements.join(" "), kept)
        .await?;
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
    operator: OperatorName,
    Path(id): Path<String>,
) -> Result<Json<SubscriptionView>, Problem> {
    let id = parse(&id)?;
    let found = service.store.refund(id).await.map_err(|error| failed(&error)).and_then(view);
    service.acts.noted(operator, acts::SUBSCRIPTION_REFUND, id.to_hex(), found).await
}

async fn reset<S: AccountStore>(
    State(service): Service<S>,
    operator: OperatorName,
    Path(id): Path<String>,
    Json(request): Json<Reset>,
) -> Result<Json<SubscriptionView>, Problem> {
    let id = parse(&id)?;
    let found = service.store.reset(id, request.from).await;
    let found = found.map_err(|error| match error {
        ResetError::OtherVersion => Problem::new(
            StatusCode::CONFLICT,
            "subscription-version-differs",
            "The subscription is at another version",
        )
        .with_detail("look at the subscription, and reset from its present version"),
        ResetError::Store(error) => failed(&error),
    });
    service.acts.noted(operator, acts::SUBSCRIPTION_RESET, id.to_hex(), found.and_then(view)).await
}

async fn mint<S: AccountStore>(
    State(service): Service<S>,
    headers: HeaderMap,
) -> Result<Json<MintedSrt>, Problem> {
    let number = shown_number(&headers).ok_or_else(unknown_account)?;
    let found = service.store.of_account(NumberHash::of(&number)).await;
    let found = found.map_err(|error| failed(&error))?;
    let (subscription, salt) = found.ok_or_else(unknown_account)?;
    if subscription.state == SubscriptionState::Refunded {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "subscription-refunded",
            "The subscription was refunded",
        ));
    }
    let now = service.clock.now();
    let srt = subscription.srt().sign(&service.signer.key(), now).map_err(|_| {
        tracing::error!("an SRT can't be signed");
        Problem::internal()
    })?;
    service.minted.increment();
    service.steps.reached("srt_signed");
    Ok(Json(MintedSrt { srt, ends: Srt::end(now), salt }))
}

async fn change_number<S: AccountStore>(
    State(service): Service<S>,
    headers: HeaderMap,
    Json(request): Json<ChangeNumber>,
) -> Result<Json<NumberChanged>, Problem> {
    let from = shown_number(&headers).ok_or_else(unknown_account)?;
    let (from, to) = (NumberHash::of(&from), NumberHash::of(&request.account));
    let changed = service.store.change_number(from, to).await.map_err(|error| match error {
        CreateError::Exists => taken(),
        CreateError::Store(error) => failed(&error),
    })?;
    service.steps.reached("number_changed");
    if changed { Ok(Json(NumberChanged { changed })) } else { Err(unknown_account()) }
}

/// The keys that SRTs may be verified with now: those that sign, will sign and signed.
async fn jwks<S: AccountStore>(
    State(service): Service<S>,
) -> ([(HeaderName, &'static str); 1], axum::Json<KeySet>) {
    ([(CONTENT_TYPE, JWKS_TYPE)], axum::Json(service.signer.published()))
}

/// The account number in the one `Authorization: Bearer`.
fn shown_number(headers: &HeaderMap) -> Option<AccountNumber> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (shown.next()?, shown.next()) else { return None };
    let (scheme, number) = only.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { number.parse().ok() } else { None }
}

fn taken() -> Problem {
    Problem::new(StatusCode::CONFLICT, "account-exists", "Another account has this number")
        .with_detail("take another number, at random")
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

/// Every request here may be repeated.
fn failed(error: &StoreError) -> Problem {
    tracing::error!(cause = %error.cause(), "the database failed");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-failed", "The service's database failed")
        .with_retry_after(5)
}
