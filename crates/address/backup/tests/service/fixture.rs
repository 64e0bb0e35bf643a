//! A running service, and people who write backups.

use std::num::NonZero;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use backup::store::SqliteBackups;
use backup::{Backups, CAPACITY, Decoy, Measures, ROUTES, router};
use backup_api::{
    BLOB_SIZE, Blob, Locator, READ, REMOVE, Signature, WRITE, WriteKey, remove_message,
    write_message,
};
use bytes::Bytes;
use coarse::{FixedClock, UnixTime};
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use serde_json::{Value, json};
use service::{BaseUrl, ClientConfig, HttpClient, ReceivedProblem, ServeConfig, Server};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_795_219_200);

pub(crate) struct Service {
    pub(crate) backups: Arc<Backups<SqliteBackups>>,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) metrics: Metrics,
    directory: TempDir,
    base: BaseUrl,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

pub(crate) async fn start() -> Service {
    Service::open(tempfile::tempdir().unwrap(), CAPACITY).await
}

pub(crate) async fn start_with(capacity: u32) -> Service {
    Service::open(tempfile::tempdir().unwrap(), NonZero::new(capacity).unwrap()).await
}

impl Service {
    async fn open(directory: TempDir, capacity: NonZero<u32>) -> Self {
        let clock = Arc::new(FixedClock::new(NOW));
        let store = SqliteBackups::open(&directory.path().join("backup.sqlite")).unwrap();
        let decoy = Decoy::load(directory.path()).unwrap();
        let metrics = Metrics::new(Arc::<FixedClock>::clone(&clock));
        let measures = Measures::new(&metrics);
        let of = Arc::<FixedClock>::clone(&clock);
        let backups = Arc::new(Backups { store, decoy, capacity, clock: of, measures });
        let listen = "127.0.0.1:0".parse().unwrap();
        let config =
            ServeConfig { routes: &ROUTES, metrics: metrics.clone(), ..ServeConfig::new(listen) };
        let server = Server::bind(config, ()).await.unwrap();
        let base = BaseUrl::plain(server.local_addr()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let routes = router(Arc::clone(&backups));
        let served = tokio::spawn(async move {
            server
                .run_until(routes, async {
                    let _ = stopped.await;
                })
                .await;
        });
        Self { backups, clock, metrics, directory, base, stop, served }
    }

    pub(crate) async fn restart(self) -> Self {
        let Self { backups, directory, stop, served, .. } = self;
        stop.send(()).unwrap();
        served.await.unwrap();
        let capacity = backups.capacity;
        drop(backups);
        Self::open(directory, capacity).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response<Bytes> {
        let request = Request::post(self.base.join(path).unwrap())
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()));
        HttpClient::new(ClientConfig::default(), ()).send(request.unwrap()).await.unwrap()
    }

    pub(crate) async fn read(&self, locator: &Locator) -> Response<Bytes> {
        self.post(READ, &json!({ "locator": locator })).await
    }

    /// What is answered for a locator.
    pub(crate) async fn found(&self, locator: &Locator) -> Blob {
        let found: backup_api::Found = service::parse(&self.read(locator).await).unwrap();
        found.blob
    }

    pub(crate) async fn write(&self, body: &Value) -> Response<Bytes> {
        self.post(WRITE, body).await
    }

    pub(crate) async fn remove(&self, body: &Value) -> Response<Bytes> {
        self.post(REMOVE, body).await
    }

    /// All that is kept at these places, and how much there is in all.
    pub(crate) async fn kept(&self, people: &[&Writer]) -> (u32, Vec<Option<Vec<u8>>>) {
        use backup::store::BackupStore as _;
        let mut kept = Vec::new();
        for one in people {
            let found = self.backups.store.read(one.locator).await.unwrap();
            kept.push(found.map(|blob| blob.bytes().to_vec()));
        }
        (self.backups.store.count().await.unwrap(), kept)
    }
}

/// Somebody with a code.
pub(crate) struct Writer {
    pair: Ed25519KeyPair,
    pub(crate) key: WriteKey,
    pub(crate) locator: Locator,
}

impl Writer {
    pub(crate) fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = WriteKey::from_bytes(pair.public_key().as_ref().try_into().unwrap());
        Self { pair, key, locator: Locator::of(&key) }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.pair.sign(message).as_ref().try_into().unwrap())
    }

    pub(crate) fn writes(&self, blob: &Blob) -> Value {
        let signature = self.sign(&write_message(&self.locator, blob));
        json!({ "write_key": self.key, "blob": blob, "signature": signature })
    }

    pub(crate) fn removes(&self) -> Value {
        json!({ "write_key": self.key, "signature": self.sign(&remove_message(&self.locator)) })
    }
}

pub(crate) fn blob(byte: u8) -> Blob {
    Blob::new(vec![byte; BLOB_SIZE]).unwrap()
}

pub(crate) fn refusal(answer: &Response<Bytes>) -> (u16, String) {
    let problem = ReceivedProblem::from_response(answer);
    (problem.status, problem.slug().to_owned())
}
