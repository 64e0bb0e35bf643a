//! Each limit, by what happens one beyond it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use coarse::{FixedClock, UnixTime};
use service::{Body, Class, Method, Route, ServeConfig};
use telemetry::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::fixture::{config, exchange, is_problem, read_all, request, start_with};

const TEXT: Body = Body::bytes("text/plain");
/// Two requests, and one more after a second: longer than a test takes that asks at once.
const SCARCE: Class = Class::new("scarce", 1, 2, 8);
/// One handler at a time.
const NARROW: Class = Class::new("narrow", 1000, 1000, 1);

static ROUTES: [Route; 4] = [
    Route::get("/scarce", "Is had seldom.", TEXT).costs(SCARCE),
    Route::get("/scarce-too", "Shares that.", TEXT).costs(SCARCE),
    Route { max_body: 10, ..Route::post("/small", "Takes little.", TEXT) },
    Route {
        method: Method::Post,
        max_body: 10,
        ..Route::get("/narrow", "One at a time.", TEXT).costs(NARROW)
    },
];

fn limited() -> ServeConfig {
    ServeConfig { routes: &ROUTES, request_timeout: Duration::from_secs(5), ..config() }
}

/// `/narrow` answers when the sender says so.
fn router(released: watch::Receiver<bool>) -> Router {
    telling(mpsc::unbounded_channel().0, released)
}

/// And tells when a handler is at work.
fn telling(entered: mpsc::UnboundedSender<()>, released: watch::Receiver<bool>) -> Router {
    let narrow = move || {
        let (entered, mut released) = (entered.clone(), released.clone());
        async move {
            let _ = entered.send(());
            let _ = released.wait_for(|released| *released).await;
            "done"
        }
    };
    Router::new()
        .route("/scarce", get(|| async { "scarce" }))
        .route("/scarce-too", get(|| async { "scarce" }))
        .route("/small", post(|body: bytes::Bytes| async move { body.len().to_string() }))
        .route("/narrow", post(narrow))
}

fn after(answer: &str) -> Option<u32> {
    let (_, rest) = answer.split_once("retry-after: ")?;
    rest.split_once('\r')?.0.parse().ok()
}

/// The metrics that a test's server counts in, read exactly.
fn counted(metrics: &Metrics, limit: &'static str) -> u64 {
    let (named, _) = metrics
        .named()
        .into_iter()
        .find(|(named, _)| named.name == "cloakroom_http_shed_total")
        .unwrap();
    metrics.counter(named, &[("limit", limit)]).count()
}

#[tokio::test]
async fn requests_beyond_the_rate_are_told_when_to_come_back() {
    let (_release, released) = watch::channel(true);
    let config = limited();
    let metrics = config.metrics.clone();
    let server = start_with(config, router(released), ()).await.unwrap();
    // One connection, so that no second passes.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let three = ["/scarce", "/scarce-too", "/scarce"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .concat();
    stream.write_all(three.as_bytes()).await.unwrap();
    // Other classes have an allowance of their own, the probes' among them.
    stream.write_all(&request("GET /health", "", "")).await.unwrap();
    let answers = read_all(&mut stream).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
    assert!(answers.contains("HTTP/1.1 429 ") && answers.contains("problems/rate-limited"));
    assert_eq!(after(&answers), Some(1));
    assert_eq!(counted(&metrics, "rate"), 1);
}

#[tokio::test]
async fn handlers_beyond_the_cap_are_not_started_and_slow_bodies_hold_no_place() {
    let (release, released) = watch::channel(false);
    let (entered, mut has_entered) = mpsc::unbounded_channel();
    let config = limited();
    let metrics = config.metrics.clone();
    let server = start_with(config, telling(entered, released), ()).await.unwrap();
    // A body that doesn't come: no handler is at work for it.
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /narrow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1")
        .await
        .unwrap();
    let address = server.address;
    let first =
        tokio::spawn(async move { exchange(address, &request("POST /narrow", "", "")).await });
    has_entered.recv().await.unwrap();
    let answer = exchange(address, &request("POST /narrow", "", "")).await.unwrap();
    assert!(is_problem(&answer, 503, "unavailable") && after(&answer) == Some(1), "{answer}");
    assert_eq!(counted(&metrics, "at-once"), 1);
    // Other classes go on.
    let other = exchange(address, &request("POST /small", "", "ab")).await.unwrap();
    assert!(other.ends_with("\r\n\r\n2"), "{other}");
    release.send(true).unwrap();
    assert!(first.await.unwrap().unwrap().ends_with("done"));
}

#[tokio::test]
async fn a_body_has_the_size_that_its_route_allows() {
    let (_release, released) = watch::channel(true);
    let server = start_with(limited(), router(released), ()).await.unwrap();
    for (line, body, status) in [
        ("POST /small", "0123456789", 200),
        ("POST /small", "01234567890", 413),
        ("GET /scarce", "0", 413),
        ("GET /health", "0", 413),
    ] {
        let answer = exchange(server.address, &request(line, "", body)).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
    }
}

#[tokio::test]
async fn compressed_bodies_are_refused() {
    let (_release, released) = watch::channel(true);
    let server = start_with(limited(), router(released), ()).await.unwrap();
    for (coding, refused) in [("gzip", true), ("identity", false), ("identity, br", true)] {
        let header = format!("Content-Encoding: {coding}\r\n");
        let answer =
            exchange(server.address, &request("POST /small", &header, "ab")).await.unwrap();
        assert_eq!(is_problem(&answer, 415, "unsupported-media-type"), refused, "{answer}");
    }
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let (_release, released) = watch::channel(true);
    let config = ServeConfig { max_head: 1000, ..limited() };
    let server = start_with(config, router(released), ()).await.unwrap();
    let filler = "x".repeat(1000);
    for (line, header) in [
        ("GET /scarce".to_owned(), format!("X-Filler: {filler}\r\n")),
        (format!("GET /scarce?{filler}"), String::new()),
    ] {
        let answer = exchange(server.address, &request(&line, &header, "")).await.unwrap();
        assert!(is_problem(&answer, 431, "header-too-large"), "{answer}");
    }
    // Far beyond it nobody reads on: hyper's bare answer.
    let header = format!("X-Filler: {}\r\n", "x".repeat(128 * 1024));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = stream.write_all(&request("GET /scarce", &header, "")).await;
    let mut start = [0; 12];
    match stream.read_exact(&mut start).await {
        Ok(_) => assert_eq!(&start, b"HTTP/1.1 431"),
        // The answer may be lost with the connection.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    // And many small fields.
    let fields = "X-A: b\r\n".repeat(101);
    let answer = exchange(server.address, &request("GET /scarce", &fields, "")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_given_up() {
    let (_release, released) = watch::channel(false);
    let config = ServeConfig { request_timeout: Duration::from_millis(100), ..limited() };
    let metrics = config.metrics.clone();
    let server = start_with(config, router(released), ()).await.unwrap();
    for count in 1..=2 {
        let answer = exchange(server.address, &request("POST /narrow", "", "")).await.unwrap();
        assert!(is_problem(&answer, 503, "unavailable"), "{answer}");
        // The second one got a place: the first one's was free again.
        assert_eq!(counted(&metrics, "deadline"), count);
    }
}

#[tokio::test]
async fn connections_beyond_the_cap_are_told_to_come_back_and_beyond_that_wait() {
    let (_release, released) = watch::channel(true);
    let patient = Duration::from_secs(60);
    let config = ServeConfig {
        max_connections: 1,
        max_refusals: 1,
        header_read_timeout: patient,
        ..limited()
    };
    let metrics = config.metrics.clone();
    let server = start_with(config, router(released), ()).await.unwrap();
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    first.read_exact(&mut [0; 1]).await.unwrap();
    // The first one stays. The second one takes the refusals' place, and the third finds none...
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET /hea").await.unwrap();
    let mut third = TcpStream::connect(server.address).await.unwrap();
    third.write_all(&request("GET /health", "", "")).await.unwrap();
    // ... until the second has its answer.
    let waits = tokio::time::timeout(Duration::from_millis(200), third.read(&mut [0; 1])).await;
    assert!(waits.is_err());
    second.write_all(b"lth HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    for refused in [&mut second, &mut third] {
        let answer = read_all(refused).await.unwrap();
        assert!(
            answer.contains("503 Service Unavailable") || answer.starts_with("TTP"),
            "{answer}"
        );
        assert!(answer.contains("connection: close") && after(&answer) == Some(1), "{answer}");
    }
    assert_eq!(counted(&metrics, "connections"), 2);
    // With the first one gone there is a place again.
    drop(first);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !exchange(server.address, &request("GET /health", "", ""))
        .await
        .unwrap()
        .contains("200 OK")
    {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

/// Who is refused and says nothing is cut off soon: a second, whatever others get.
#[tokio::test]
async fn a_refused_connection_that_says_nothing_is_cut_off() {
    let config = ServeConfig {
        max_connections: 0,
        max_refusals: 1,
        header_read_timeout: Duration::from_millis(100),
        ..limited()
    };
    let (_release, released) = watch::channel(true);
    let server = start_with(config, router(released), ()).await.unwrap();
    assert_eq!(exchange(server.address, b"").await.unwrap(), "");
    let answer = exchange(server.address, &request("GET /health", "", "")).await.unwrap();
    assert!(is_problem(&answer, 503, "unavailable"), "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_for_many_requests_and_ends_when_it_is_idle() {
    let (_release, released) = watch::channel(true);
    let server = start_with(limited(), router(released), ()).await.unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let asks = b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let mut buffer = vec![0; 4096];
    for _ in 0..50 {
        stream.write_all(asks).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n3") {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "closed after {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    // Nothing more is asked: the server closes it by itself.
    assert_eq!(read_all(&mut stream).await.unwrap(), "");
}

#[tokio::test]
async fn metrics_show_counts_by_route_pattern_and_no_live_value() {
    let (_release, released) = watch::channel(true);
    let server = start_with(limited(), router(released), ()).await.unwrap();
    for _ in 0..20 {
        exchange(server.address, &request("POST /small?secret", "", "ab")).await.unwrap();
    }
    let shown = exchange(server.address, &request("GET /metrics", "", "")).await.unwrap();
    assert!(shown.contains("content-type: text/plain; version=0.0.4\r\n"), "{shown}");
    let line = "cloakroom_http_requests_total{route=\"/small\",status=\"2xx\"} ";
    let count = shown.lines().find_map(|shown| shown.strip_prefix(line)).unwrap();
    // Nothing was published, unless the test ran at the turn of an hour.
    assert!(["0", "10", "20"].contains(&count), "{count}");
    assert!(!shown.contains("secret"));
    let refused = exchange(server.address, &request("POST /metrics", "", "")).await.unwrap();
    assert!(is_problem(&refused, 405, "method-not-allowed"), "{refused}");
}

/// What is counted shows at the turn of the hour, with nobody's help.
#[tokio::test]
async fn new_values_are_shown_by_the_clock() {
    let (_release, released) = watch::channel(true);
    // The last second of an hour.
    let clock = Arc::new(FixedClock::new(UnixTime::from_seconds(3599)));
    let metrics = Metrics::new(Arc::<FixedClock>::clone(&clock));
    let server =
        start_with(ServeConfig { metrics, ..limited() }, router(released), ()).await.unwrap();
    for _ in 0..25 {
        exchange(server.address, &request("POST /small", "", "ab")).await.unwrap();
    }
    let shows = |count: u32| async move {
        let shown = exchange(server.address, &request("GET /metrics", "", "")).await.unwrap();
        let line = "cloakroom_http_requests_total{route=\"/small\",status=\"2xx\"} ";
        shown.lines().any(|shown| shown.strip_prefix(line) == Some(&count.to_string()))
    };
    assert!(shows(0).await);
    clock.set(UnixTime::from_seconds(3600));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !shows(20).await {
        assert!(tokio::time::Instant::now() < deadline);
    }
}
