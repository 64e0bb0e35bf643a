//! The service's HTTP routes (see `issuer-api`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use encoding::Base64Url;
use epoch_keys::Purpose;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use issuer_api::{
    BLIND_SIGN, BlindSign, BlindSigned, DIRECTORY, ISSUANCE_RECEIPT, KeyQuery, PUBLIC_KEY,
    PublishedKey, TOKEN_REQUEST,
};
use jws::KeySet;
use key_ring::{JWKS, JWKS_TYPE};
use privacy_pass::{
    MEDIA_TYPE_DIRECTORY, MEDIA_TYPE_REQUEST, MEDIA_TYPE_RESPONSE, TokenRequest, TokenResponse,
};
use service::{Json, Problem};
use telemetry::{Counter, Metrics, Named, Pace, Precision};

use crate::{Drawn, Issuer, IssuerStore, Limit, Refusal, SignFailure, Wanted};

/// For how long the directory may be cached, in seconds: it changes once a day.
const DIRECTORY_AGE: u64 = 3600;

struct Door<S> {
    issuer: Arc<Issuer<S>>,
    answered: Counter,
    refused: Counter,
}

/// The service's routes, which count in `metrics`.
pub fn router<S: IssuerStore>(issuer: Arc<Issuer<S>>, metrics: &Metrics) -> Router {
    store::measure(metrics);
    let help = "Requests for blind signatures.";
    let draws = Named { name: "cloakroom_draws_total", help, pace: Pace::Hourly };
    let answered = metrics.counter(draws, &[("outcome", "answered")]);
    let refused = metrics.counter(draws, &[("outcome", "refused")]);
    let help = "Epoch keys of any purpose that sign at present.";
    let keys = Named { name: "cloakroom_signing_keys", help, pace: Pace::Minutely };
    let counted = Arc::clone(&issuer);
    metrics.gauge(keys, Precision::Exact, &[], move || {
        counted.keys.signing(counted.clock.now()).len() as u64
    });
    let help = "Times that ended keys could not be erased, or ended answers not be forgotten.";
    let tidy = Named { name: "cloakroom_tidy_failures_total", help, pace: Pace::Minutely };
    let failures = Arc::clone(&issuer.tidy_failures);
    metrics.counted(tidy, Precision::Exact, &[], move || failures.load(Ordering::Relaxed));
    let door = Door { issuer, answered, refused };
    Router::new()
        .route(PUBLIC_KEY, get(public_key::<S>))
        .route(BLIND_SIGN, post(blind_sign::<S>))
        .route(DIRECTORY, get(directory::<S>))
        .route(TOKEN_REQUEST, post(token_request::<S>))
        .route(JWKS, get(jwks::<S>))
        .with_state(Arc::new(door))
}

type Service<S> = State<Arc<Door<S>>>;

async fn public_key<S: IssuerStore>(
    State(door): Service<S>,
    query: Result<Query<KeyQuery>, QueryRejection>,
) -> Result<Json<PublishedKey>, Problem> {
    let Query(KeyQuery { purpose, epoch }) = query.map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "key-query-malformed", "The query names no key")
            .with_detail("give purpose, and epoch as a number if it isn't the present one")
    })?;
    let epoch = epoch.unwrap_or_else(|| purpose.epoch_at(door.issuer.clock.now()));
    door.issuer.keys.published(purpose, epoch).map(Json).ok_or_else(no_key)
}

async fn blind_sign<S: IssuerStore>(
    State(door): Service<S>,
    headers: HeaderMap,
    Json(request): Json<BlindSign>,
) -> Result<Response, Problem> {
    let blinded = request.blinded_message.0.try_into().map_err(|_| out_of_range())?;
    let wanted = Wanted::Of(request.purpose, request.epoch);
    let drawn = door.draw(&headers, wanted, blinded).await?;
    let blind_signature = Base64Url(drawn.signature.0.to_vec());
    let answer = Json(BlindSigned { blind_signature });
    Ok((receipt_header(&drawn)?, answer).into_response())
}

async fn directory<S: IssuerStore>(State(door): Service<S>) -> Response {
    let now = door.issuer.clock.now();
    // A key of a past epoch must not be taken from a cache.
    let change = Purpose::ALL.map(|purpose| now.until(purpose.epoch_end(purpose.epoch_at(now))));
    let age = change.iter().map(|until| until.as_secs()).fold(DIRECTORY_AGE, u64::min);
    let mut response = Json(door.issuer.keys.directory(now)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE_DIRECTORY));
    if let Ok(age) = HeaderValue::from_str(&format!("public, max-age={age}")) {
        headers.insert(CACHE_CONTROL, age);
    }
    response
}

async fn token_request<S: IssuerStore>(
    State(door): Service<S>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case(MEDIA_TYPE_REQUEST.as_bytes())) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "This route takes another media type",
        )
        .with_detail(format!("send {MEDIA_TYPE_REQUEST}")));
    }
    let request = TokenRequest::decode(&body).map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "token-request-malformed",
            "This is not a token request",
        )
        .with_detail(error.to_string())
    })?;
    let wanted = Wanted::Truncated(request.truncated_key_id());
    let drawn = door.draw(&headers, wanted, *request.blinded_message()).await?;
    let kind = [(CONTENT_TYPE, MEDIA_TYPE_RESPONSE)];
    let answer = TokenResponse::new(drawn.signature.0).encode();
    Ok((kind, receipt_header(&drawn)?, answer).into_response())
}

/// The keys that receipts of issuance may be verified with now: those that sign, will sign and signed.
async fn jwks<S: IssuerStore>(
    State(door): Service<S>,
) -> ([(HeaderName, &'static str); 1], axum::Json<KeySet>) {
    ([(CONTENT_TYPE, JWKS_TYPE)], axum::Json(door.issuer.receipt_key.published()))
}

impl<S: IssuerStore> Door<S> {
    async fn draw(
        &self,
        headers: &HeaderMap,
        wanted: Wanted,
        blinded: [u8; 256],
    ) -> Result<Drawn, Problem> {
        let srt = shown_srt(headers).ok_or_else(|| unauthorized("show an SRT"))?;
        let drawn = self.issuer.draw(srt, wanted, blinded).await;
        if drawn.is_ok() { &self.answered } else { &self.refused }.increment();
        drawn.map_err(|refusal| problem(&refusal, wanted))
    }
}

/// The SRT in the one `Authorization: Bearer`.
fn shown_srt(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (shown.next()?, shown.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn receipt_header(drawn: &Drawn) -> Result<[(HeaderName, HeaderValue); 1], Problem> {
    let value = HeaderValue::from_str(drawn.receipt.as_str()).map_err(|_| Problem::internal())?;
    Ok([(HeaderName::from_static(ISSUANCE_RECEIPT), value)])
}

/// What a refusal looks like from outside.
fn problem(refusal: &Refusal, wanted: Wanted) -> Problem {
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    match refusal {
        Refusal::Srt(jws::Error::Expired) => {
            Problem::new(StatusCode::UNAUTHORIZED, "srt-expired", "The SRT has expired")
                .with_detail("get a new one from the accounts service")
                .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        }
        Refusal::Srt(error) => unauthorized(error.to_string()),
        Refusal::NotSold(purpose) => {
            let slug = "purpose-not-sold";
            Problem::new(StatusCode::FORBIDDEN, slug, "Tokens for this purpose are not sold")
                .with_detail(purpose.as_str())
        }
        Refusal::NotCovered(purpose) => {
            let slug = "purpose-not-covered";
            Problem::new(StatusCode::FORBIDDEN, slug, "The subscription doesn't cover this purpose")
                .with_detail(purpose.as_str())
        }
        Refusal::NoKey => match wanted {
            Wanted::Of(..) => no_key(),
            Wanted::Truncated(_) => {
                Problem::new(unprocessable, "key-unknown", "No key that signs now has this id")
            }
        },
        Refusal::Limit(Limit::OldVersion) => {
            let slug = "subscription-version-superseded";
            Problem::new(StatusCode::CONFLICT, slug, "The subscription was reset since")
                .with_detail("get a new SRT from the accounts service")
        }
        Refusal::Limit(Limit::Reached) => {
            let title = "All that this subscription may draw of this was drawn";
            Problem::new(StatusCode::CONFLICT, "draw-limit-reached", title)
                .with_detail("only the very request that was answered before is answered again")
        }
        Refusal::Sign(SignFailure::Window) => {
            Problem::new(unprocessable, "epoch-not-open", "This epoch's key doesn't sign now")
                .with_detail("a key signs in its own epoch and in the one before")
        }
        Refusal::Sign(SignFailure::Input) => out_of_range(),
        Refusal::Sign(error) => {
            tracing::error!(cause = %error, "the signer failed");
            Problem::internal()
        }
        Refusal::Receipt => {
            tracing::error!("a receipt of issuance can't be signed");
            Problem::internal()
        }
        Refusal::Store(error) => {
            tracing::error!(cause = %error.cause(), "the database failed");
            let title = "The service's database failed";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-failed", title).with_retry_after(5)
        }
    }
}

fn unauthorized(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "srt-refused", "The SRT is missing or not good here")
        .with_detail(detail)
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

fn no_key() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "key-unknown", "There is no key for this epoch")
}

fn out_of_range() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "blinded-message-out-of-range",
        "The blinded message is not one for this key",
    )
    .with_detail("it has 256 bytes and is a number between 2 and the modulus less 2")
}
