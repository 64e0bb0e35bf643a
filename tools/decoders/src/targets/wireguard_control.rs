//! The gateway's control API: a request to become a peer, through the gateway's own router, store and exit.
//!
//! The first byte says what follows: even, a body as it comes; odd, the claims of a DAT, which is signed as the enclave would.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::body::Body;
use coarse::{Clock, FixedClock, Hour};
use enclave_watch::{AttestError, Attestor, EnclaveWatch};
use gateway::grants::{Error, Grant, GrantStore};
use gateway::{Gateway, router};
use gateway_api::{AddPeer, PEERS, Peer};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use jws::{Claims as _, KeySet};
use lease::{Dat, TunnelEnd};
use peer_key::PeerKey;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use tunnel::{DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig, ExitHandle, Limits, Network};

use crate::fixture::{self, NOW, Role, keys};
use crate::input::{byte, tagged};

const SERVED: [&str; 2] = ["203.0.113.0/28", "2001:db8::/64"];

/// Asks the gateway.
pub(crate) fn check(input: &[u8]) {
    let Some((mode, rest)) = byte(input) else { return };
    let body = if mode % 2 == 0 {
        rest.to_vec()
    } else {
        let header = fixture::header(Role::Minting, Dat::TYPE);
        let dat = fixture::jws(Role::Minting, header.as_bytes(), rest);
        serde_json::json!({"dat": dat, "device": fixture::device()}).to_string().into_bytes()
    };
    let bench = BENCH.lock().unwrap_or_else(PoisonError::into_inner);
    bench.reset();
    let (status, answer) = bench.ask(&body);
    let kept = bench.store.0.lock().expect("nobody panics with it").clone();
    if status == StatusCode::OK {
        let asked: AddPeer = serde_json::from_slice(&body).expect("what was granted was read");
        let read = Dat::verify_with_end(asked.dat.as_str(), &keys(Role::Minting), NOW);
        let (dat, ends) = read.expect("granted on the enclave's word");
        assert!(dat.is_for(&asked.device) && ends.start() > NOW);
        let address = dat.dip_details.ip;
        // The exit carries IPv4 only, so a single address is all that is ever granted.
        assert!(address.prefix().is_none() && address.ip().is_ipv4(), "a tunnel for nothing");
        let serves =
            |network: &&str| network.parse::<Network>().is_ok_and(|it| it.contains(address.ip()));
        assert!(SERVED.iter().any(serves), "another gateway's address");
        let peer: Peer = serde_json::from_slice(&answer).expect("a peer");
        assert!(peer.exit_address == address && peer.ends == ends && peer.tunnel == bench.tunnel);
        assert_eq!((kept.len(), bench.exit.peers()), (1, 1));
        assert!(kept.get(&asked.device).is_some_and(|it| it.address == address && it.ends == ends));
        assert_eq!(bench.ask(&body), (status, answer), "again changes nothing");
    } else {
        assert!(matches!(status.as_u16(), 400 | 401 | 403 | 422), "{status}");
        assert!(kept.is_empty() && bench.exit.peers() == 0, "a refusal leaves nothing");
        // The problem says what is wrong, and nothing of the request.
        let problem: serde_json::Value = serde_json::from_slice(&answer).expect("a problem");
        assert_eq!(problem["status"], status.as_u16());
    }
}

struct Bench {
    runtime: Runtime,
    router: axum::Router,
    store: Kept,
    exit: ExitHandle,
    tunnel: TunnelEnd,
}

static BENCH: LazyLock<Mutex<Bench>> = LazyLock::new(|| Mutex::new(Bench::new()));

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(FixedClock::new(NOW));
        let inner = "100.64.0.1".parse().expect("an address");
        let config = ExitConfig {
            listen: "127.0.0.1:0".parse().expect("an address"),
            secret_key: fixture::device_secret(),
            former_keys: vec![],
            inner_address: inner,
            mtu: DEFAULT_MTU,
            policy: DestinationPolicy::default(),
            limits: Limits::default(),
            now: Arc::new(|| NOW.seconds()),
        };
        let exit = Exit::spawn(config, ()).expect("loopback has a port");
        let tunnel = TunnelEnd {
            public_key: fixture::device(),
            endpoint: exit.listen_addr(),
            inner_address: "100.64.0.2".parse().expect("an address"),
            resolver: inner,
        };
        let store = Kept::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let serves = SERVED.map(|network| network.parse().expect("a network")).to_vec();
        let gateway = Arc::new(Gateway::new(
            store.clone(),
            EnclaveWatch::new(Enclave),
            exit.clone(),
            serves,
            tunnel.clone(),
            Arc::clone(&clock) as Arc<dyn Clock>,
            &telemetry::Metrics::new(clock),
        ));
        runtime.block_on(gateway.enclave().attest()).expect("it attests");
        Self { runtime, router: router(gateway), store, exit, tunnel }
    }

    fn reset(&self) {
        for (device, _) in self.store.0.lock().expect("nobody panics with it").drain() {
            self.exit.remove_peer(&device);
        }
    }

    fn ask(&self, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let request = Request::post(PEERS)
            .header("content-type", "application/json")
            .body(Body::from(body.to_vec()))
            .expect("a request");
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("it always answers");
            let status = response.status();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            (status, body.to_vec())
        })
    }
}

/// An enclave that attests to the minting key.
struct Enclave;

impl Attestor for Enclave {
    async fn minting_keys(&self) -> Result<KeySet, AttestError> {
        Ok(keys(Role::Minting))
    }
}

/// Grants in memory.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<HashMap<PeerKey, Grant>>>);

impl GrantStore for Kept {
    async fn keep(&self, grant: Grant) -> Result<Grant, Error> {
        let mut all = self.0.lock().expect("nobody panics with it");
        let longer = |former: &&Grant| former.address == grant.address && former.ends >= grant.ends;
        let kept = all.get(&grant.device).filter(longer).unwrap_or(&grant).clone();
        all.insert(kept.device, kept.clone());
        Ok(kept)
    }

    async fn all(&self) -> Result<Vec<Grant>, Error> {
        Ok(self.0.lock().expect("nobody panics with it").values().cloned().collect())
    }

    async fn forget(&self, devices: Vec<PeerKey>) -> Result<(), Error> {
        let mut all = self.0.lock().expect("nobody panics with it");
        all.retain(|device, _| !devices.contains(device));
        Ok(())
    }

    async fn forget_ended(&self, now: Hour) -> Result<(), Error> {
        self.0.lock().expect("nobody panics with it").retain(|_, grant| grant.ends > now);
        Ok(())
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let dat = |address: &str| {
        let dat =
            Dat::new(address.parse().expect("an address"), fixture::region(), &fixture::device());
        dat.sign(&fixture::key(Role::Minting), NOW).expect("claims of a token")
    };
    let (good, other) = (dat("203.0.113.7"), dat("198.51.100.7"));
    let body = |dat| serde_json::json!({"dat": dat, "device": fixture::device()}).to_string();
    vec![
        tagged(0, body(&good)),
        tagged(0, body(&other)),
        tagged(0, "{}"),
        tagged(0, "nothing"),
        tagged(1, fixture::payload(&good)),
        tagged(1, fixture::payload(&other)),
        tagged(1, fixture::payload(&dat("2001:db8::7"))),
        tagged(1, fixture::payload(&dat("2001:db8::/64"))),
    ]
}
