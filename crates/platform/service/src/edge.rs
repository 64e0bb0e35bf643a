//! What happens to every request before and after its handler.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

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

use crate::ServeConfig;
use crate::limits::{Gate, LIGHT, PROBE, busy};
use crate::measure::{Measured, RouteMeter};
use crate::problem::{Problem, Slug};
use crate::route::{HEALTH, METRICS, Side};
use http_client::PROBLEM_JSON;

/// What stands around a router.
struct Edge {
    request_timeout: Duration,
    max_head: usize,
    measured: Measured,
    routes: BTreeMap<&'static str, Entry>,
    /// For paths that aren't in the table.
    stray: Entry,
    metrics: telemetry::Metrics,
}

/// One route's limits and meters.
struct Entry {
    gate: Arc<Gate>,
    max_body: usize,
    meter: RouteMeter,
}

impl Edge {
    fn new(config: &ServeConfig, side: Side) -> Self {
        let measured = Measured::new(&config.metrics, config.routes);
        let mut gates: BTreeMap<&'static str, Arc<Gate>> = BTreeMap::new();
        let factor = config.rate_factor;
        let mut entry = |class: crate::Class, max_body, path| {
            let gate =
                gates.entry(class.name).or_insert_with(|| Arc::new(Gate::new(class.times(factor))));
            Entry { gate: Arc::clone(gate), max_body, meter: measured.route(path) }
        };
        let mut routes = BTreeMap::new();
        // Whoever is inside has no business with these.
        for path in [HEALTH, METRICS].into_iter().filter(|_| side == Side::Outside) {
            routes.insert(path, entry(PROBE, 0, path));
        }
        for route in config.routes.iter().filter(|route| route.side() == side) {
            routes.insert(route.path, entry(route.class, route.max_body, route.path));
        }
        let stray = entry(LIGHT, config.max_body, "other");
        let metrics = config.metrics.clone();
        let (request_timeout, max_head) = (config.request_timeout, config.max_head);
        Self { request_timeout, max_head, measured, routes, stray, metrics }
    }

    fn entry(&self, route: &str) -> &Entry {
        self.routes.get(route).unwrap_or(&self.stray)
    }
}

/// Puts the edge around the router of one side: limits, problem documents, the request log; outside also `/health` and
/// `/metrics`.
pub(crate) fn edge(router: Router, config: &ServeConfig, side: Side) -> Router {
    let edge = Arc::new(Edge::new(config, side));
    router
        .fallback_service(axum::routing::any(probe_or_nothing).with_state::<()>(Arc::clone(&edge)))
        // The edge has its own limit, which is already kept when a handler starts.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(edge, pass))
}

/// Lets web pages of any origin read the answers of the routes it is layered on:
/// `router.layer(browser_readable())`. No cookies or other credentials of the browser go along.
pub fn browser_readable() -> CorsLayer {
    CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any)
}

/// What every service has, unless it has its own.
async fn probe_or_nothing(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let path = request.uri().path();
    let path = if edge.routes.contains_key(path) { path } else { "" };
    match (path, request.method()) {
        (HEALTH, &Method::GET) => {
            crate::Json(serde_json::json!({ "status": "ok" })).into_response()
        }
        (METRICS, &Method::GET) => {
            ([(CONTENT_TYPE, "text/plain; version=0.0.4")], edge.metrics.render()).into_response()
        }
        (HEALTH | METRICS, _) => Problem::of_status(StatusCode::METHOD_NOT_ALLOWED).into_response(),
        _ => Problem::of_status(StatusCode::NOT_FOUND).into_response(),
    }
}

async fn pass(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let method = known(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let is_probe = |path: &&str| request.uri().path() == *path && edge.routes.contains_key(path);
    let probe = [HEALTH, METRICS].into_iter().find(is_probe);
    let route = matched.as_ref().map(MatchedPath::as_str).or(probe);
    let entry = edge.entry(route.unwrap_or_default());
    let mut response = match answer(&edge, entry, request, next).await {
        Ok(response) => with_problem(response),
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let status = response.status();
    entry.meter.answered(status);
    if let Some(Slug(slug)) = response.extensions().get() {
        edge.measured.problem(slug);
    }
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        edge.measured.failed.increment();
    }
    let route = route.unwrap_or("-");
    tracing::info!(method, route, status = status.as_u16(), "answered");
    response
}

/// Reads the body first: a handler never holds anything while it waits for a slow peer, and a slow peer
/// holds no place of a handler's.
async fn answer(
    edge: &Edge,
    entry: &Entry,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let shed = &edge.measured.shed;
    entry.gate.pay().inspect_err(|_| shed.rate.increment())?;
    let (parts, body) = request.into_parts();
    let head: usize =
        parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head + parts.uri.path().len() + parts.uri.query().map_or(0, str::len) > edge.max_head {
        return Err(Problem::of_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            .with_detail(format!("at most {} bytes", edge.max_head)));
    }
    // A small body that unpacks to a large one would pass every limit here.
    let mut codings = parts.headers.get_all(CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .with_detail("send the body as it is, without Content-Encoding"));
    }
    let has_body =
        parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key(TRANSFER_ENCODING);
    let body = if has_body {
        let limited = Limited::new(body, entry.max_body);
        match timeout(edge.request_timeout, limited.collect()).await {
            Ok(Ok(body)) => Body::from(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE)
                    .with_detail(format!("at most {} bytes", entry.max_body)));
            }
            Ok(Err(_)) => return Err(Problem::of_status(StatusCode::BAD_REQUEST)),
            Err(_) => {
                shed.slow_body.increment();
                return Err(Problem::of_status(StatusCode::REQUEST_TIMEOUT));
            }
        }
    } else {
        Body::empty()
    };
    let _place = entry.gate.enter().inspect_err(|_| shed.at_once.increment())?;
    let start = Instant::now();
    let handler = unpanicked(next.run(Request::from_parts(parts, body)));
    let answered = timeout(edge.request_timeout, handler).await;
    entry.meter.took(start.elapsed());
    match answered {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(Problem::internal()),
        Err(_) => {
            shed.deadline.increment();
            Err(busy())
        }
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
