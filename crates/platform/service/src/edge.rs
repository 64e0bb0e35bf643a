//! What happens to every request before and after its handler.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING,
};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;
use tower_http::cors::{Any, CorsLayer};

use crate::Problem;
use http_client::PROBLEM_JSON;

/// What a request may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For its body to arrive, and then again for its handler to answer.
    pub(crate) request_timeout: Duration,
    /// Bytes of its body.
    pub(crate) max_body: usize,
}

/// Puts the edge around a router: limits, problem documents, `/health`, the request log.
pub(crate) fn edge(router: Router, limits: Limits) -> Router {
    router
        .fallback(health_or_nothing)
        // The edge has its own limit, which is already kept when a handler starts.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(limits, pass))
}

/// Lets web pages of any origin read the answers of the routes it is layered on:
/// `router.layer(browser_readable())`. No cookies or other credentials of the browser go along.
pub fn browser_readable() -> CorsLayer {
    CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any)
}

async fn health_or_nothing(request: Request) -> Response {
    if request.uri().path() == "/health" && request.method() == Method::GET {
        crate::Json(serde_json::json!({ "status": "ok" })).into_response()
    } else {
        Problem::of_status(StatusCode::NOT_FOUND).into_response()
    }
}

async fn pass(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match answer(limits, request, next).await {
        Ok(response) => with_problem(response),
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    tracing::info!(method, route, status = response.status().as_u16(), "answered");
    response
}

/// Reads the body first: a handler never holds anything while it waits for a slow peer.
async fn answer(limits: Limits, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // A small body that unpacks to a large one would pass every limit here.
    let mut codings = parts.headers.get_all(CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .with_detail("send the body as it is, without Content-Encoding"));
    }
    let has_body =
        parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key(TRANSFER_ENCODING);
    let body = if has_body {
        let limited = Limited::new(body, limits.max_body);
        match timeout(limits.request_timeout, limited.collect()).await {
            Ok(Ok(body)) => Body::from(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE)
                    .with_detail(format!("at most {} bytes", limits.max_body)));
            }
            Ok(Err(_)) => return Err(Problem::of_status(StatusCode::BAD_REQUEST)),
            Err(_) => return Err(Problem::of_status(StatusCode::REQUEST_TIMEOUT)),
        }
    } else {
        Body::empty()
    };
    let handler = unpanicked(next.run(Request::from_parts(parts, body)));
    match timeout(limits.request_timeout, handler).await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(Problem::internal()),
        Err(_) => Err(Problem::of_status(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(1)),
    }
}

/// `None` when the future panics.
async fn unpanicked<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)))
            .map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

/// Every failure is a problem document: a rejection of the framework, which may quote the request, loses
/// its text and keeps status and headers.
fn with_problem(response: Response) -> Response {
    let status = response.status();
    let is_failure = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !is_failure || kind.is_some_and(|kind| kind.starts_with(PROBLEM_JSON.as_bytes())) {
        return response;
    }
    let mut problem = Problem::of_status(status).into_response();
    for (name, value) in response.headers() {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            problem.headers_mut().append(name, value.clone());
        }
    }
    problem
}

/// Methods are the peer's to invent; the log knows these.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
