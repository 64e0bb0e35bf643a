//! A service on a free port, with keys, a clock that stands still, and a customer.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use blind_rsa::{AwsLcSigner, PublicKey};
use bytes::Bytes;
use coarse::{Clock as _, Epoch, FixedClock, Secret, UnixTime};
use encoding::Base64Url;
use epoch_keys::Purpose;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response};
use issuer_api::{BLIND_SIGN, BlindSign, BlindSigned, PublishedKey, TOKEN_REQUEST};
use jws::{KeySet, SigningKey};
use key_ring::{LiveKeys, LiveSigner};
use privacy_pass::{MEDIA_TYPE_REQUEST, TokenRequest};
use receipt::{Entitlement, Entitlements, Srt, SubscriptionId, SubscriptionVersion};
use service::{BaseUrl, ClientConfig, HttpClient, ReceivedProblem, ServeConfig, Server};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{FileKeyStore, Issuer, KeyStore as _, Keys, Signers, SqliteIssuer, generate, router};

/// 2026-11-20T12:00Z: access epoch 20,777; dedicated-ip epoch 2,968, of which two days are left.
pub(super) const NOW: UnixTime = UnixTime::from_seconds(20_777 * 86_400 + 43_200);
pub(super) const DAY: u64 = 86_400;
pub(super) const TODAY: Epoch = Epoch::new(20_777);
pub(super) const WEEK: Epoch = Epoch::new(2_968);

/// Keys are slow to make: all rooms have copies of these.
static KEYS: LazyLock<TempDir> = LazyLock::new(|| {
    let room = tempfile::tempdir().unwrap();
    let store = FileKeyStore::open(room.path(), &mut coarse::system_rng()).unwrap();
    for (purpose, first, count) in [
        (Purpose::Access, TODAY, 3),
        (Purpose::DedicatedIp, WEEK, 2),
        (Purpose::Renewal, Epoch::new(6_925), 1),
    ] {
        let count = NonZero::new(count).unwrap();
        generate(&store, purpose, first, count, &mut coarse::system_rng(), |_| {}).unwrap();
    }
    room
});

pub(super) struct Room {
    pub(super) directory: TempDir,
    pub(super) clock: Arc<FixedClock>,
    pub(super) issuer: Arc<Issuer<SqliteIssuer>>,
    pub(super) base: BaseUrl,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// What accounts sign SRTs with.
pub(super) fn accounts_key() -> SigningKey {
    SigningKey::from_seed(&Secret::new([1; 32])).unwrap()
}

pub(super) fn receipt_key() -> SigningKey {
    SigningKey::from_seed(&Secret::new([2; 32])).unwrap()
}

impl Room {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        copy(KEYS.path(), &directory.path().join("epoch-keys"));
        Self::open(directory, Arc::new(FixedClock::new(NOW))).await
    }

    /// A service whose keys for `access`, from [`TODAY`] on, are these.
    pub(super) async fn with_access_keys(signers: &[&AwsLcSigner]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = key_store(directory.path());
        let mut draft = store.draft(Purpose::Access, TODAY).unwrap();
        for signer in signers {
            draft.add(signer, &mut coarse::system_rng()).unwrap();
        }
        draft.commit().unwrap();
        Self::open(directory, Arc::new(FixedClock::new(NOW))).await
    }

    /// The same service in another process's life.
    pub(super) async fn restart(self) -> Self {
        let Self { directory, clock, issuer, stop, served, .. } = self;
        stop.send(()).unwrap();
        served.await.unwrap();
        drop(issuer);
        Self::open(directory, clock).await
    }

    async fn open(directory: TempDir, clock: Arc<FixedClock>) -> Self {
        let key_store = key_store(directory.path());
        let keys = Arc::new(Keys::new(key_store.committed().unwrap()).unwrap());
        let signers = Signers::new(Arc::clone(&keys), Box::new(key_store), clock.now()).unwrap();
        let issuer = Arc::new(Issuer {
            keys,
            signers: Arc::new(signers),
            store: SqliteIssuer::open(&directory.path().join("issuer.sqlite")).unwrap(),
            srt_keys: LiveKeys::fixed(KeySet::from(accounts_key().verifying_key())),
            receipt_key: LiveSigner::fixed(receipt_key()),
            clock: Arc::<FixedClock>::clone(&clock),
            tidy_failures: Arc::default(),
            steps: service::Steps::default(),
        });
        let metrics = telemetry::Metrics::new(Arc::<FixedClock>::clone(&clock));
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = ServeConfig {
            routes: &crate::ROUTES,
            metrics: metrics.clone(),
            ..ServeConfig::new(listen)
        };
        let server = Server::bind(config, ()).await.unwrap();
        let base = BaseUrl::plain(server.local_addr()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let routes = router(Arc::clone(&issuer), &metrics);
        let served = tokio::spawn(async move {
            server
                .run_until(routes, async {
                    let _ = stopped.await;
                })
                .await;
        });
        Self { directory, clock, issuer, base, stop, served }
    }

    pub(super) fn at(&self, seconds_later: u64) {
        self.clock.set(UnixTime::from_seconds(NOW.seconds() + seconds_later));
    }

    /// An SRT of the customer with this number, in this version, for everything.
    pub(super) fn srt(&self, customer: u8, version: u32) -> String {
        self.srt_for(customer, version, &Entitlement::ALL)
    }

    pub(super) fn srt_for(&self, customer: u8, version: u32, covered: &[Entitlement]) -> String {
        let version = SubscriptionVersion::new(version);
        let entitlements = Entitlements::new(covered.iter().copied(), version);
        let srt = Srt { subscription: SubscriptionId::from_bytes([customer; 16]), entitlements };
        srt.sign(&accounts_key(), self.clock.now()).unwrap().as_str().to_owned()
    }

    pub(super) fn public_key(&self, purpose: Purpose, epoch: Epoch) -> PublicKey {
        let published: PublishedKey = self.issuer.keys.published(purpose, epoch).unwrap();
        PublicKey::from_spki(&published.public_key.0).unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Response<Bytes> {
        HttpClient::new(ClientConfig::default(), ()).get(&self.base, path).await.unwrap()
    }

    pub(super) async fn post(
        &self,
        path: &str,
        headers: &[(http::HeaderName, &str)],
        body: Vec<u8>,
    ) -> Response<Bytes> {
        let mut request =
            Request::builder().method(Method::POST).uri(self.base.join(path).unwrap());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(body.into()).unwrap();
        HttpClient::new(ClientConfig::default(), ()).send(request).await.unwrap()
    }

    pub(super) async fn blind_sign(
        &self,
        srt: &str,
        purpose: Purpose,
        epoch: Epoch,
        blinded: &[u8],
    ) -> Response<Bytes> {
        let blinded_message = Base64Url(blinded.to_vec());
        let body = serde_json::to_vec(&BlindSign { purpose, epoch, blinded_message }).unwrap();
        let bearer = format!("Bearer {srt}");
        let headers = [(AUTHORIZATION, bearer.as_str()), (CONTENT_TYPE, "application/json")];
        self.post(BLIND_SIGN, &headers, body).await
    }

    /// A draw that has to work: the blind signature.
    pub(super) async fn drawn(
        &self,
        srt: &str,
        purpose: Purpose,
        epoch: Epoch,
        blinded: &[u8],
    ) -> Vec<u8> {
        let answer = self.blind_sign(srt, purpose, epoch, blinded).await;
        service::parse::<BlindSigned>(&answer).unwrap().blind_signature.0
    }

    pub(super) async fn token_request(&self, srt: &str, request: &TokenRequest) -> Response<Bytes> {
        let bearer = format!("Bearer {srt}");
        let headers = [(AUTHORIZATION, bearer.as_str()), (CONTENT_TYPE, MEDIA_TYPE_REQUEST)];
        self.post(TOKEN_REQUEST, &headers, request.encode()).await
    }

    /// How many subscriptions and answers are kept.
    pub(super) async fn rows(&self) -> (u32, u32) {
        self.issuer.store.rows().await.unwrap()
    }
}

/// Status and slug of a refusal.
pub(super) fn refusal(answer: &Response<Bytes>) -> (u16, String) {
    let problem = ReceivedProblem::from_response(answer);
    (problem.status, problem.slug().to_owned())
}

/// A blinded message like any other: a number below every modulus.
pub(super) fn blinded(number: u8) -> [u8; 256] {
    let mut message = [number; 256];
    message[0] = 1;
    message
}

pub(super) fn key_store(room: &Path) -> FileKeyStore {
    FileKeyStore::open(&room.join("epoch-keys"), &mut coarse::system_rng()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
