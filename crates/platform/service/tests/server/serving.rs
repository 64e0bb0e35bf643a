//! Answers, problem documents, drain, the tap.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use record::{Opened, Recorder, Recording};
use service::{ServeConfig, ServeError, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::{
    JSON, SECRET, config, exchange, is_problem, read_all, request, router, start, start_with,
};

#[tokio::test]
async fn good_requests_are_answered() {
    let server = start().await.unwrap();
    let answer =
        exchange(server.address, &request("POST /double", JSON, r#"{"count":21}"#)).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n42"),
        "{answer}"
    );
    assert!(answer.contains("content-type: application/json\r\n"));
    assert!(answer.contains("cache-control: no-store\r\n"));
    let health = exchange(server.address, &request("GET /health", "", "")).await.unwrap();
    assert!(health.ends_with(r#"{"status":"ok"}"#), "{health}");
}

#[tokio::test]
async fn a_router_may_have_its_own_health() {
    let own = Router::new().route("/health", get(|| async { "mine" }));
    let server = start_with(config(), own, ()).await.unwrap();
    let health = exchange(server.address, &request("GET /health", "", "")).await.unwrap();
    assert!(health.ends_with("mine"));
}

#[tokio::test]
async fn every_failure_is_a_problem_that_repeats_nothing() {
    let server = start().await.unwrap();
    let large = "x".repeat(1001);
    for (line, headers, body, status, slug) in [
        ("GET /nowhere?token=hunter2", "", "", 404, "not-found"),
        ("GET /double", "", "", 405, "method-not-allowed"),
        ("POST /double", "", r#"{"count":1}"#, 415, "unsupported-media-type"),
        ("POST /double", "Content-Type: text/hunter2\r\n", "{}", 415, "unsupported-media-type"),
        ("POST /double", JSON, "", 400, "bad-request"),
        ("POST /double", JSON, "{\"count\": hunter2", 400, "bad-request"),
        ("POST /double", JSON, r#"{"count":1} hunter2"#, 400, "bad-request"),
        ("POST /double", JSON, r#"{"count":"hunter2"}"#, 422, "unprocessable"),
        ("POST /double", JSON, r#"{"hunter2":1}"#, 422, "unprocessable"),
        ("POST /double", JSON, r#"{"count":256}"#, 422, "unprocessable"),
        ("POST /bytes", "", &large, 413, "too-large"),
        ("GET /conflict", "", "", 409, "token-spent"),
        ("GET /clumsy", "", "", 500, "internal"),
        ("GET /slow", "", "", 503, "unavailable"),
        ("GET /operator", "", "", 401, "operator-only"),
    ] {
        let answer = exchange(server.address, &request(line, headers, body)).await.unwrap();
        assert!(is_problem(&answer, status, slug), "{line}: {answer}");
        assert!(!answer.contains("hunter2") && !answer.contains("256"), "{answer}");
        assert!(!answer.contains("a request's secret"));
        assert_eq!(answer.contains("www-authenticate: Bearer"), status == 401);
        assert_eq!(answer.contains("allow: POST"), status == 405);
        assert_eq!(answer.contains("retry-after:"), [409, 503].contains(&status));
    }
}

#[tokio::test]
async fn the_operator_gets_in() {
    let server = start().await.unwrap();
    let shown = format!("Authorization: Bearer {SECRET}\r\n");
    let answer = exchange(server.address, &request("GET /operator", &shown, "")).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn browsers_may_read_what_is_opened_to_them_only() {
    let server = start().await.unwrap();
    let asks = "Origin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n";
    for (line, allowed) in [("GET /open", true), ("OPTIONS /open", true), ("GET /conflict", false)]
    {
        let answer = exchange(server.address, &request(line, asks, "")).await.unwrap();
        assert_eq!(answer.contains("access-control-allow-origin: *"), allowed, "{answer}");
    }
}

#[tokio::test]
async fn a_slow_body_is_cut_off() {
    let server = start().await.unwrap();
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let request = format!("POST /bytes HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n1\r\n");
        let answer = exchange(server.address, request.as_bytes()).await.unwrap();
        assert!(is_problem(&answer, 408, "request-timeout"), "{answer}");
    }
}

#[tokio::test]
async fn a_chunked_body_cannot_grow_without_end() {
    let server = start().await.unwrap();
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let request =
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    let answer = exchange(server.address, request.as_bytes()).await.unwrap();
    assert!(is_problem(&answer, 413, "too-large"), "{answer}");
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_cut_off() {
    let server = start().await.unwrap();
    assert_eq!(exchange(server.address, b"").await.unwrap(), "");
    let answer = exchange(server.address, b"GET / HTTP/1.1\r\nHo").await.unwrap();
    assert!(!answer.contains("200"), "{answer}");
    let kept = exchange(server.address, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(kept.ends_with(r#"{"status":"ok"}"#));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off() {
    let config = ServeConfig { max_connections: 1, ..config() };
    let router = Router::new().route("/big", get(|| async { vec![0_u8; 64 << 20] }));
    let server = start_with(config, router, ()).await.unwrap();
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    stuck.write_all(&request("GET /big", "", "")).await.unwrap();
    // There is one place: another peer gets it when the first one, who reads nothing, has lost it.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let health = exchange(server.address, &request("GET /health", "", "")).await.unwrap();
        if health.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
    drop(stuck);
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_takes_no_new_ones() {
    let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
    let (release, released) = tokio::sync::watch::channel(false);
    let handler = move || {
        let (entered, mut released) = (entered.clone(), released.clone());
        async move {
            let _ = entered.send(()).await;
            let _ = released.wait_for(|released| *released).await;
            "finished"
        }
    };
    let config = ServeConfig {
        request_timeout: Duration::from_secs(5),
        drain_timeout: Duration::from_secs(5),
        ..config()
    };
    let mut server = start_with(config, Router::new().route("/", get(handler)), ()).await.unwrap();
    let under_way =
        tokio::spawn(async move { exchange(server.address, &request("GET /", "", "")).await });
    has_entered.recv().await.unwrap();
    server.stop.send(()).unwrap();
    // Until the listener is closed, connections may still reach the backlog.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let waits = tokio::time::timeout(Duration::from_millis(200), &mut server.ended).await;
    assert!(waits.is_err());
    release.send(true).unwrap();
    assert!(under_way.await.unwrap().unwrap().ends_with("finished"));
    server.ended.await.unwrap();
}

#[tokio::test]
async fn what_does_not_finish_is_cut_when_the_drain_timeout_ends() {
    let config = ServeConfig { request_timeout: Duration::from_secs(60), ..config() };
    let server = start_with(config, router(), ()).await.unwrap();
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    stuck.write_all(&request("GET /slow", "", "")).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.ended).await.unwrap().unwrap();
    for stream in [&mut stuck, &mut idle] {
        assert!(!matches!(stream.read(&mut [0]).await, Ok(1..)));
    }
}

#[tokio::test]
async fn plain_http_off_loopback_is_refused() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let config = ServeConfig::new(address.parse().unwrap());
        let refused = Server::bind(config, ()).await.err().unwrap();
        assert!(matches!(refused, ServeError::PlainOffLoopback(_)));
        assert!(refused.to_string().starts_with("Plain HTTP is refused off loopback"));
    }
    let taken = start().await.unwrap().address;
    let result = Server::bind(ServeConfig::new(taken), ()).await;
    assert!(matches!(result.err(), Some(ServeError::Bind(..))));
}

#[tokio::test]
async fn the_tap_hears_every_byte() {
    let room = tempfile::tempdir().unwrap();
    let tape: &Path = &room.path().join("tape");
    let recorder = Recorder::to_file(tape).unwrap();
    let server = start_with(config(), router(), recorder).await.unwrap();
    let sent = request("POST /double", JSON, r#"{"count":2}"#);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let peer = stream.local_addr().unwrap();
    stream.write_all(&sent).await.unwrap();
    read_all(&mut stream).await.unwrap();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap();
    let recording = Recording::load(tape).unwrap();
    let heard = &recording.conversations[&0];
    assert_eq!((heard.opened, heard.peer, heard.closed), (Opened::ByPeer, Some(peer), true));
    assert_eq!(heard.received, sent);
}
