//! Routes inside peers' tunnels: who asks, what is there, and how it ends.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Extension, Router};
use service::{Access, Body, Handed, Inside, Json, METRICS_ROUTE, Problem, Route, ServeConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fixture::{JSON, config, is_problem, request};

const PATIENCE: Duration = Duration::from_secs(5);
const TEXT: Body = Body::bytes("text/plain");

static ROUTES: [Route; 4] = [
    Route::get("/outside", "Is outside.", TEXT),
    Route::get("/who", "Says who asks.", TEXT).with(Access::Tunnel("http://100.64.0.1:1")),
    Route::post("/take", "Takes something.", TEXT)
        .takes(Body::bytes("application/json"))
        .with(Access::Tunnel("http://100.64.0.1:1")),
    METRICS_ROUTE,
];

/// Somebody inside.
#[derive(Clone)]
struct Guest(&'static str);

async fn who(Extension(Guest(name)): Extension<Guest>) -> &'static str {
    name
}

async fn take(Extension(_): Extension<Guest>, Json(number): Json<u8>) -> Result<String, Problem> {
    Ok(number.to_string())
}

fn router() -> Router {
    let slow = get(std::future::pending::<()>);
    Router::new().route("/who", get(who)).route("/take", post(take)).route("/slow", slow)
}

/// What serves inside, and the way in.
struct Running {
    door: mpsc::Sender<Handed<Guest>>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

fn start(config: ServeConfig) -> Running {
    let (door, connections) = mpsc::channel(8);
    let inside = Inside::new(ServeConfig { routes: &ROUTES, ..config }, connections, ()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(inside.run_until(router(), async {
        let _ = stopped.await;
    }));
    Running { door, stop, ended }
}

impl Running {
    async fn enter(&self, name: &'static str) -> UnixStream {
        let (near, stream) = StdUnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        assert!(self.door.send(Handed { stream, from: Guest(name) }).await.is_ok());
        UnixStream::from_std(near).unwrap()
    }

    async fn ask(&self, name: &'static str, line: &str, headers: &str, body: &str) -> String {
        let mut stream = self.enter(name).await;
        stream.write_all(&request(line, headers, body)).await.unwrap();
        hear(&mut stream).await.unwrap()
    }
}

async fn hear(stream: &mut UnixStream) -> io::Result<String> {
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said)).await??;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn a_handler_is_told_who_opened_the_connection() {
    let running = start(config());
    for name in ["one", "another", "one"] {
        let said = running.ask(name, "GET /who", "", "").await;
        assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with(name), "{said}");
    }
    // For as long as the connection lasts.
    let mut stream = running.enter("one").await;
    let kept = b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(&[&kept[..], &request("GET /who", "", "")].concat()).await.unwrap();
    assert_eq!(hear(&mut stream).await.unwrap().matches("one").count(), 2);
}

#[tokio::test]
async fn what_is_outside_is_not_inside() {
    let running = start(config());
    for path in ["/outside", "/metrics", "/health", "/nowhere"] {
        let said = running.ask("one", &format!("GET {path}"), "", "").await;
        assert!(is_problem(&said, 404, "not-found"), "{path}: {said}");
    }
    let said = running.ask("one", "POST /metrics", "", "").await;
    assert!(is_problem(&said, 404, "not-found"), "{said}");
}

#[tokio::test]
async fn limits_and_problem_documents_are_as_everywhere() {
    let running = start(config());
    let said = running.ask("one", "POST /take", JSON, "7").await;
    assert!(said.ends_with("\r\n\r\n7"), "{said}");
    let said = running.ask("one", "POST /take", JSON, "\"x\"").await;
    assert!(is_problem(&said, 422, "unprocessable"), "{said}");
    let said = running.ask("one", "POST /take", JSON, &" ".repeat(17_000)).await;
    assert!(is_problem(&said, 413, "too-large"), "{said}");
    let said = running.ask("one", "DELETE /who", "", "").await;
    assert!(is_problem(&said, 405, "method-not-allowed"), "{said}");
    let said = running.ask("one", "GET /slow", "", "").await;
    assert!(is_problem(&said, 503, "unavailable"), "{said}");
    // Whoever says nothing is hung up on.
    let mut silent = running.enter("one").await;
    assert_eq!(hear(&mut silent).await.unwrap(), "");
}

#[tokio::test]
async fn it_ends_when_told_so_or_when_nobody_can_come_any_more() {
    let running = start(config());
    running.stop.send(()).unwrap();
    timeout(PATIENCE, running.ended).await.unwrap().unwrap();
    let running = start(config());
    assert!(running.ask("one", "GET /who", "", "").await.ends_with("one"));
    let Running { door, stop: _stop, ended } = running;
    drop(door);
    timeout(PATIENCE, ended).await.unwrap().unwrap();
}
