//! A server with short limits, and bytes to and from it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use service::{
    Json, OperatorSecret, Problem, ServeConfig, ServeError, Server, Tap, browser_readable,
    operator_only,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const SECRET: &str = "correct-horse-battery";

#[derive(serde::Deserialize)]
struct Ask {
    count: u8,
}

async fn double(Json(ask): Json<Ask>) -> Json<u16> {
    Json(u16::from(ask.count) * 2)
}

async fn conflict() -> Problem {
    Problem::new(StatusCode::CONFLICT, "token-spent", "The token is spent").with_retry_after(3)
}

async fn clumsy() -> StatusCode {
    panic!("a request's secret")
}

pub(crate) fn router() -> Router {
    let secret = coarse::SecretText::new(SECRET.to_owned());
    let mut router = Router::new()
        .route("/double", post(double))
        .route("/conflict", get(conflict))
        .route("/clumsy", get(clumsy))
        .route("/slow", get(std::future::pending::<()>))
        .route("/bytes", post(|body: bytes::Bytes| async move { body.len().to_string() }))
        .route("/open", get(|| async { "open" }).layer(browser_readable()));
    if let Ok(secret) = OperatorSecret::new(secret) {
        let operators = Router::new().route("/operator", get(|| async { "hello" }));
        router = router.merge(operator_only(operators, secret));
    }
    router
}

/// Short limits, so that a test that waits for them is quick.
pub(crate) fn config() -> ServeConfig {
    ServeConfig {
        request_timeout: Duration::from_millis(300),
        header_read_timeout: Duration::from_millis(300),
        max_body: 1000,
        drain_timeout: Duration::from_millis(300),
        ..ServeConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<()>,
}

pub(crate) async fn start_with<T: Tap>(
    config: ServeConfig,
    router: Router,
    tap: T,
) -> Result<Running, ServeError> {
    let server = Server::bind(config, tap).await?;
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(server.run_until(router, async {
        let _ = stopped.await;
    }));
    Ok(Running { address, stop, ended })
}

pub(crate) async fn start() -> Result<Running, ServeError> {
    start_with(config(), router(), ()).await
}

/// Sends bytes and reads until the server closes, five seconds at most.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    read_all(&mut stream).await
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// One request on a connection of its own.
pub(crate) fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

pub(crate) const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

pub(crate) fn is_problem(answer: &str, status: u16, slug: &str) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
        && answer.contains("content-type: application/problem+json\r\n")
        && answer.contains("cache-control: no-store\r\n")
        && answer.contains(&format!("\"type\":\"https://cloakroom.example/problems/{slug}\""))
        && answer.contains(&format!("\"status\":{status}"))
}
