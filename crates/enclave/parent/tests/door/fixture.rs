//! An enclave on a Unix socket that answers what it is told to, and a parent in front of it.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use coarse::{FixedClock, UnixTime};
use encoding::Base64Url;
use parent::{Link, ROUTES, router};
use service::{BaseUrl, ClientConfig, HttpClient, ServeConfig, Server};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing_subscriber::layer::SubscriberExt as _;
use wire::StreamAddress;
use wire::frame::Message;
use wire::http::MintRequest;
use wire::parent::{Answer, Failure, Request};

/// What an enclave does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    Answers(Answer),
    /// Sends these bytes and closes.
    Sends(Vec<u8>),
    Silent,
}

/// What an enclave was asked, and what it does: the moods in order, the last one for ever.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) asked: Mutex<Vec<Request>>,
    moods: Mutex<VecDeque<Mood>>,
}

impl Script {
    pub(crate) fn set(&self, moods: impl IntoIterator<Item = Mood>) {
        *self.moods.lock().unwrap() = moods.into_iter().collect();
    }

    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.set(answers.into_iter().map(Mood::Answers));
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn next(&self, request: Request) -> Mood {
        self.asked.lock().unwrap().push(request);
        let mut moods = self.moods.lock().unwrap();
        let mood = moods.front().unwrap().clone();
        if moods.len() > 1 {
            moods.pop_front();
        }
        mood
    }
}

pub(crate) fn address(socket: &Path) -> StreamAddress {
    StreamAddress::Unix(socket.to_owned())
}

/// A running enclave; dropped, it is gone with all its streams.
pub(crate) struct Enclave {
    _tasks: JoinSet<()>,
    socket: PathBuf,
}

impl Drop for Enclave {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

pub(crate) fn start_enclave(socket: &Path, script: &Arc<Script>) -> Enclave {
    let listener = UnixListener::bind(socket).unwrap();
    let script = Arc::clone(script);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut streams = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            streams.spawn(async move {
                let _ = serve(stream, &script).await;
            });
        }
    });
    Enclave { _tasks: tasks, socket: socket.to_owned() }
}

async fn serve(mut stream: UnixStream, script: &Script) -> std::io::Result<()> {
    loop {
        let mut body = vec![0; stream.read_u32().await? as usize];
        stream.read_exact(&mut body).await?;
        match script.next(Request::decode(&body).unwrap()) {
            Mood::Answers(answer) => stream.write_all(&answer.encode().unwrap()).await?,
            Mood::Sends(bytes) => return stream.write_all(&bytes).await,
            Mood::Silent => std::future::pending().await,
        }
    }
}

/// The lines that a process with the parent's log writes.
#[derive(Clone, Default)]
pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// The log of all rooms, at the finest level.
pub(crate) static LOG: LazyLock<Page> = LazyLock::new(|| {
    let page = Page::default();
    let clock = FixedClock::new(UnixTime::from_seconds(1_795_218_137));
    let (output, level) = (Box::new(page.clone()), tracing::Level::TRACE);
    let log = telemetry::Log::new("parent", output, &["parent", "service"], level, clock);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log)).unwrap();
    page
});

/// A parent that serves over HTTP, with the enclave behind it.
pub(crate) struct Room {
    pub(crate) socket: PathBuf,
    pub(crate) script: Arc<Script>,
    pub(crate) enclave: Option<Enclave>,
    pub(crate) client: HttpClient,
    pub(crate) url: BaseUrl,
    _stop: oneshot::Sender<()>,
    _directory: TempDir,
}

pub(crate) async fn start() -> Room {
    LazyLock::force(&LOG);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("enclave");
    let script = Arc::new(Script::default());
    let enclave = Some(start_enclave(&socket, &script));
    let metrics = Metrics::new(Arc::new(FixedClock::new(UnixTime::from_seconds(0))));
    let listen = "127.0.0.1:0".parse().unwrap();
    let config =
        ServeConfig { routes: &ROUTES, metrics: metrics.clone(), ..ServeConfig::new(listen) };
    let server = Server::bind(config, ()).await.unwrap();
    let url = BaseUrl::plain(server.local_addr()).unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = router(Link::new(address(&socket), ()), &metrics, service::Steps::default());
    tokio::spawn(server.run_until(router, async {
        let _ = stopped.await;
    }));
    let client = HttpClient::new(ClientConfig::default(), ());
    Room { socket, script, enclave, client, url, _stop: stop, _directory: directory }
}

pub(crate) fn mint_request() -> MintRequest {
    MintRequest { order: "the.secret.order".into(), sealed: Base64Url(b"sealed words".to_vec()) }
}

pub(crate) fn granted() -> Answer {
    Answer::Granted { grant: b"a.b.c".to_vec(), sealed: vec![7; 9] }
}

pub(crate) const NOT_BOOTED: Answer = Answer::Failed(Failure::NotBooted);
