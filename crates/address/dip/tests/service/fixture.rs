//! A service on loopback, an issuer, and an enclave that signs what it is told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use attested::{EnclavePin, Provider, Update, Urls};
use blind_rsa::{AwsLcSigner, RawSigner};
use bytes::Bytes;
use coarse::{Clock, Epoch, FixedClock, Secret, SecretText, UnixTime, Week, system_rng};
use dip::store::{PoolStore, SqliteStore};
use dip::{
    Demand, Dip, Enclave, Journal, Ledger, LiveGate, Measures, MintError, MintFor, Minted, ROUTES,
    router,
};
use dip_api::operator::{NamedGateway, NewAddress, RegionStatus};
use dip_api::{Assigned, GatewayInfo, Refreshed};
use enclave_watch::{AttestError, Attestor, EnclaveWatch};
use encoding::Base64Url;
use epoch_keys::{CommitmentTree, PublishedKey, Purpose, TreePin, challenge};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use jws::{Compact, KeySet, SigningKey};
use key_ring::LiveSigner;
use lease::{Extension, ExtensionOrder, Grant, LeaseId, Order, Release, RequestHash, TunnelEnd};
use operating::Acts;
use peer_key::PeerSecret;
use privacy_pass::{PendingToken, SpendHash, Token, TokenHeader, TokenResponse, TokenSeed};
use serde_json::json;
use service::{
    BaseUrl, ClientConfig, HttpClient, OperatorSecret, ReceivedProblem, ServeConfig, Server, Steps,
};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::oneshot;
use trail::Trail;
use wire::envelope::{ANSWER_OVERHEAD, ANSWER_SIZE, ASSIGN_SIZE, REFRESH_SIZE, REQUEST_OVERHEAD};

pub(crate) const ISSUER: &str = "issuer.example";
pub(crate) const ORIGIN: &str = "dip.example";
pub(crate) const PURPOSE: Purpose = Purpose::DedicatedIp;
/// The present epoch, in whose middle all begins.
pub(crate) const EPOCH: Epoch = Epoch::new(2_968);

/// Keys of the present epoch and of the next one.
static SIGNERS: LazyLock<[AwsLcSigner; 2]> =
    LazyLock::new(|| [0, 1].map(|_| AwsLcSigner::generate(2048).unwrap()));

pub(crate) fn now() -> UnixTime {
    PURPOSE.epoch_start(EPOCH).plus(std::time::Duration::from_secs(200_000))
}

/// A fresh token of one of the two epochs, for this origin.
pub(crate) fn token_for(epoch: Epoch, origin: &str) -> Token {
    let signer = &SIGNERS[usize::from(epoch != EPOCH)];
    let digest = challenge(ISSUER, origin, PURPOSE, epoch).unwrap().digest();
    let seed = TokenSeed::random(&mut system_rng());
    let pending = PendingToken::new(signer.public_key(), &digest, &seed).unwrap();
    let answer = signer.sign_blinded(pending.request().blinded_message()).unwrap();
    pending.finalize(&TokenResponse::decode(&answer).unwrap()).unwrap()
}

pub(crate) fn token() -> Token {
    token_for(EPOCH, ORIGIN)
}

/// The keys as the issuer publishes them, and the tree that commits to them.
pub(crate) fn published() -> (Vec<PublishedKey>, TreePin) {
    let spkis = SIGNERS.each_ref().map(|signer| signer.public_key().spki());
    let tree = CommitmentTree::build(PURPOSE, EPOCH, &spkis).unwrap();
    let keys = [EPOCH, EPOCH.next()].into_iter().zip(spkis).map(|(epoch, spki)| PublishedKey {
        purpose: PURPOSE,
        epoch,
        public_key: Base64Url(spki),
        proof: tree.proof(epoch).unwrap(),
    });
    (keys.collect(), TreePin { purpose: PURPOSE, first_epoch: EPOCH, root: tree.root() })
}

fn provider(tree: TreePin) -> Provider {
    let nowhere = || "http://127.0.0.1:1".to_owned();
    Provider {
        name: "test".into(),
        urls: Urls {
            accounts: nowhere(),
            blind_token_service: nowhere(),
            enclave: nowhere(),
            dip_service: nowhere(),
            backup: None,
        },
        issuer_name: ISSUER.into(),
        origin: ORIGIN.into(),
        trees: vec![tree],
        enclave: EnclavePin { root: vec![], pcrs: [].into(), boot_configuration: String::new() },
        identity_endpoints: vec![],
        other_enclaves: vec![],
        update: Update::default(),
    }
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32])).unwrap()
}

/// What the enclave does with the next requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Grants,
    /// Signs that the lease is given back.
    Releases,
    Refuses,
    /// Signs a grant for another lease.
    GrantsAnotherLease,
    /// Signs a grant for another token, or another request.
    GrantsAnotherRequest,
    Fails(MintError),
}

/// An enclave without hardware, attestation and secrets.
#[derive(Clone)]
pub(crate) struct FakeEnclave(Arc<Inner>);

struct Inner {
    mood: Mutex<Mood>,
    /// The seed of the key that it signs with, and of the one that its attestation names.
    seeds: Mutex<(u8, u8)>,
    ends: Mutex<Week>,
    calls: AtomicUsize,
    last_extension: Mutex<Option<ExtensionOrder>>,
    clock: Arc<FixedClock>,
}

impl FakeEnclave {
    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    /// From now on it signs with the first key and attests the second.
    pub(crate) fn set_keys(&self, signs: u8, attests: u8) {
        *self.0.seeds.lock().unwrap() = (signs, attests);
    }

    /// When what is granted from now on ends.
    pub(crate) fn set_ends(&self, ends: Week) {
        *self.0.ends.lock().unwrap() = ends;
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn last_extension(&self) -> ExtensionOrder {
        self.0.last_extension.lock().unwrap().clone().unwrap()
    }
}

impl Attestor for FakeEnclave {
    async fn minting_keys(&self) -> Result<KeySet, AttestError> {
        let (_, attests) = *self.0.seeds.lock().unwrap();
        Ok(KeySet::from(signing_key(attests).verifying_key()))
    }
}

impl Enclave for FakeEnclave {
    async fn mint(
        &self,
        what: MintFor,
        order: Compact,
        sealed: Base64Url,
    ) -> Result<Minted, MintError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let order_keys = KeySet::from(signing_key(2).verifying_key());
        let key = signing_key(self.0.seeds.lock().unwrap().0);
        let (mood, ends) = (*self.0.mood.lock().unwrap(), *self.0.ends.lock().unwrap());
        let lease = |lease| match mood {
            Mood::GrantsAnotherLease => LeaseId::from_bytes([9; 16]),
            _ => lease,
        };
        let grant = match what {
            MintFor::Assignment => {
                let order = Order::verify(order.as_str(), &order_keys, self.0.clock.now()).unwrap();
                assert_eq!(sealed.0.len(), ASSIGN_SIZE + REQUEST_OVERHEAD);
                let token = match mood {
                    Mood::GrantsAnotherRequest => SpendHash::from_bytes([9; 32]),
                    _ => order.token,
                };
                Grant { lease: lease(order.lease), token, ends }.sign(&key)
            }
            MintFor::Refresh => {
                let order = ExtensionOrder::verify(order.as_str(), &order_keys, self.0.clock.now())
                    .unwrap();
                assert_eq!(sealed.0.len(), REFRESH_SIZE + REQUEST_OVERHEAD);
                *self.0.last_extension.lock().unwrap() = Some(order.clone());
                let request = match mood {
                    Mood::GrantsAnotherRequest => RequestHash([9; 32]),
                    _ => order.request,
                };
                let lease = lease(order.lease);
                match mood {
                    Mood::Releases => Release { lease, request, ends }.sign(&key),
                    _ => Extension { lease, request, ends }.sign(&key),
                }
            }
        };
        let grant = match mood {
            Mood::Refuses => None,
            Mood::Fails(error) => return Err(error),
            _ => Some(grant.unwrap()),
        };
        Ok(Minted { grant, sealed: Base64Url(vec![7; ANSWER_SIZE + ANSWER_OVERHEAD]) })
    }
}

/// A running service; dropping it ends it.
pub(crate) struct Service {
    pub(crate) enclave: FakeEnclave,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) store: SqliteStore,
    pub(crate) dip: Arc<Dip<SqliteStore, FakeEnclave>>,
    pub(crate) metrics: Metrics,
    url: BaseUrl,
    _stop: oneshot::Sender<()>,
    pub(crate) room: TempDir,
}

/// A service with the addresses 192.0.2.1 and 192.0.2.2 in `eu-1` and 198.51.100.1 in `us-1`.
pub(crate) async fn start() -> Service {
    let service = start_unattested().await;
    service.attest().await;
    service
}

pub(crate) async fn start_unattested() -> Service {
    let room = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&room.path().join("dip.sqlite")).unwrap();
    let (keys, tree) = published();
    store.keep_token_keys(keys).await.unwrap();
    let named = NamedGateway { name: "one".parse().unwrap(), gateway: gateway() };
    store.set_gateway(named).await.unwrap();
    for (block, region) in [("192.0.2.0/30", "eu-1"), ("198.51.100.1", "us-1")] {
        let addresses = block.parse::<pool::Block>().unwrap().addresses();
        let new = addresses.map(|address| NewAddress {
            address,
            region: region.parse().unwrap(),
            gateway: "one".parse().unwrap(),
        });
        store.import(new.collect(), false).await.unwrap();
    }
    let gate = LiveGate::open(provider(tree), &store).await.unwrap();
    assert_eq!(gate.present().keys(), 2);
    let journal = Journal::open(&room.path().join("journal.sqlite")).unwrap();
    let (ledger, replay) = Ledger::open(store.clone(), journal, now().week()).await.unwrap();
    assert_eq!(replay, dip::store::Replay::default());

    let clock = Arc::new(FixedClock::new(now()));
    let enclave = FakeEnclave(Arc::new(Inner {
        mood: Mutex::new(Mood::Grants),
        seeds: Mutex::new((1, 1)),
        ends: Mutex::new(lease::lease_end(now())),
        calls: AtomicUsize::new(0),
        last_extension: Mutex::new(None),
        clock: Arc::clone(&clock),
    }));
    let metrics = Metrics::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let dip = Arc::new(Dip {
        ledger,
        enclave: EnclaveWatch::new(enclave.clone()),
        order_key: LiveSigner::fixed(signing_key(2)),
        gate,
        provider: Bytes::from_static(b"{}"),
        quarantine: QUARANTINE,
        acts: Acts::new(Trail::of(room.path()), Arc::clone(&clock) as Arc<dyn Clock>),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        demand: Demand::default(),
        measures: Measures::new(&metrics),
        steps: Steps::default(),
    });
    let listen = "127.0.0.1:0".parse().unwrap();
    let config =
        ServeConfig { routes: &ROUTES, metrics: metrics.clone(), ..ServeConfig::new(listen) };
    let server = Server::bind(config, ()).await.unwrap();
    let url = BaseUrl::plain(server.local_addr()).unwrap();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(server.run_until(router(Arc::clone(&dip), operator()), async {
        let _ = stopped.await;
    }));
    Service { enclave, clock, store, dip, metrics, url, _stop: stop, room }
}

/// Weeks that an address rests after a lease.
pub(crate) const QUARANTINE: u32 = 5;

const OPERATOR: &str = "an-operator-of-the-service";

pub(crate) fn operator() -> OperatorSecret {
    OperatorSecret::new(SecretText::new(OPERATOR.to_owned())).unwrap()
}

pub(crate) fn gateway() -> GatewayInfo {
    GatewayInfo {
        url: "http://127.0.0.1:3006".into(),
        tunnel: TunnelEnd {
            public_key: PeerSecret::from_bytes(&Secret::new([3; 32])).public(),
            endpoint: "127.0.0.1:51820".parse().unwrap(),
            inner_address: "100.64.0.2".parse().unwrap(),
            resolver: "100.64.0.1".parse().unwrap(),
        },
    }
}

/// A request of the right size, as base64url.
pub(crate) fn sealed(size: usize) -> String {
    Base64Url(vec![5; size + REQUEST_OVERHEAD]).to_text()
}

pub(crate) fn assignment(region: &str) -> String {
    json!({ "region": region, "sealed": sealed(ASSIGN_SIZE) }).to_string()
}

pub(crate) fn refreshment(lease: LeaseId) -> String {
    json!({ "lease": lease, "sealed": sealed(REFRESH_SIZE) }).to_string()
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(response: &Response<Bytes>) -> T {
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.body());
    serde_json::from_slice(response.body()).unwrap()
}

/// Status and slug of a problem.
pub(crate) fn problem(response: &Response<Bytes>) -> (u16, String) {
    let problem = ReceivedProblem::from_response(response);
    (problem.status, problem.slug().to_owned())
}

impl Service {
    pub(crate) async fn attest(&self) {
        self.dip.enclave.attest().await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        HttpClient::new(ClientConfig::default(), ()).get(&self.url, path).await.unwrap()
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        authorization: &[String],
        body: String,
    ) -> Response<Bytes> {
        let mut request =
            Request::post(self.url.join(path).unwrap()).header(CONTENT_TYPE, "application/json");
        for value in authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Bytes::from(body)).unwrap();
        HttpClient::new(ClientConfig::default(), ()).send(request).await.unwrap()
    }

    /// An assignment as a client sends it.
    pub(crate) async fn assign(&self, token: &Token, region: &str) -> Response<Bytes> {
        let header = TokenHeader::build(token);
        self.post(dip_api::ASSIGN, &[header], assignment(region)).await
    }

    pub(crate) async fn assigned(&self, token: &Token, region: &str) -> Assigned {
        read(&self.assign(token, region).await)
    }

    pub(crate) async fn refresh(&self, lease: LeaseId) -> Response<Bytes> {
        self.post(dip_api::REFRESH, &[], refreshment(lease)).await
    }

    pub(crate) async fn refreshed(&self, lease: LeaseId) -> Refreshed {
        read(&self.refresh(lease).await)
    }

    /// What an operator asks for.
    pub(crate) async fn look(&self, path: &str) -> Response<Bytes> {
        let request = Request::get(self.url.join(path).unwrap());
        let request = request.header(AUTHORIZATION, format!("Bearer {OPERATOR}"));
        let request = request.body(Bytes::new()).unwrap();
        HttpClient::new(ClientConfig::default(), ()).send(request).await.unwrap()
    }

    /// What an operator does.
    pub(crate) async fn operate(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Response<Bytes> {
        let body = serde_json::to_string(body).unwrap();
        self.post(path, &[format!("Bearer {OPERATOR}")], body).await
    }

    /// What an operator does without a further word.
    pub(crate) async fn act(&self, path: &str) -> Response<Bytes> {
        self.post(path, &[format!("Bearer {OPERATOR}")], String::new()).await
    }

    pub(crate) async fn status(&self, region: &str) -> RegionStatus {
        let survey = self.store.survey(self.clock.now().week()).await.unwrap();
        let mut of_region = survey.into_iter().filter(|one| one.status.region.as_str() == region);
        of_region.next().unwrap().status
    }

    /// Available, reserved, leased (with grace), quarantined addresses of a region.
    pub(crate) async fn counts(&self, region: &str) -> [u32; 4] {
        let status = self.status(region).await;
        [status.available, status.reserved, status.leased + status.grace, status.quarantine]
    }

    pub(crate) async fn tidy(&self) {
        while self.dip.tidy().await.unwrap() {}
    }
}
