//! The gateway's control API: a request to become a peer, through the gateway's own router, store and exit.
//!
//! The first byte says what follows: odd, the claims of a DAT, which is signed as the enclave would; divided by 8 with 4 or 6 left, a body
//! that asks from inside a tunnel to remove or restore a device; else a body as it comes.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::Extension;
use axum::body::Body;
use coarse::{Clock, FixedClock, Hour, Secret};
use enclave_watch::{AttestError, Attestor, EnclaveWatch};
use gateway::grants::{Error, Grant, GrantStore, Granted, Kept, Wish};
use gateway::{Asker, Gateway, Terms, inside_router, router};
use gateway_api::{AddPeer, Devices, OneDevice, PEERS, Peer, REMOVE_DEVICE, RESTORE_DEVICE};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use jws::{Claims as _, Compact, KeySet};
use lease::{Dat, TunnelEnd};
use peer_key::{PeerKey, PeerSecret, Thumbprint};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use tunnel::{DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig, ExitHandle, Limits, Network};

use crate::fixture::{self, NOW, Role, keys};
use crate::input::{byte, tagged};

const SERVED: [&str; 2] = ["203.0.113.0/28", "2001:db8::/64"];

/// Asks the gateway.
pub(crate) fn check(input: &[u8]) {
    let Some((mode, rest)) = byte(input) else { return };
    if matches!(mode % 8, 4 | 6) {
        return inside(if mode % 8 == 4 { REMOVE_DEVICE } else { RESTORE_DEVICE }, rest);
    }
    let body = if mode % 2 == 0 {
        rest.to_vec()
    } else {
        let header = fixture::header(Role::Minting, Dat::TYPE);
        let dat = fixture::jws(Role::Minting, header.as_bytes(), rest);
        serde_json::json!({"dat": dat, "device": fixture::device()}).to_string().into_bytes()
    };
    let bench = BENCH.lock().unwrap_or_else(PoisonError::into_inner);
    bench.reset();
    let (status, answer) = bench.ask(&bench.router, PEERS, &body);
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
        let again = bench.ask(&bench.router, PEERS, &body);
        assert_eq!(again, (status, answer), "again changes nothing");
    } else {
        assert!(matches!(status.as_u16(), 400 | 401 | 403 | 422), "{status}");
        assert!(kept.is_empty() && bench.exit.peers() == 0, "a refusal leaves nothing");
        // The problem says what is wrong, and nothing of the request.
        let problem: serde_json::Value = serde_json::from_slice(&answer).expect("a problem");
        assert_eq!(problem["status"], status.as_u16());
    }
}

/// Asks from inside the tunnel of the first of two devices of one address; a third device has another.
fn inside(path: &str, body: &[u8]) {
    let bench = BENCH.lock().unwrap_or_else(PoisonError::into_inner);
    bench.reset();
    let devices = [fixture::device(), other_device(1), other_device(2)];
    for (device, address) in devices.into_iter().zip(["203.0.113.7", "203.0.113.7", "203.0.113.8"])
    {
        let address = address.parse().expect("an address");
        let grant =
            Grant { device, address, ends: Dat::end(NOW), dat: Compact::new(String::new()) };
        bench.store.0.lock().expect("nobody panics with it").insert(device, grant);
    }
    let names = devices.map(|device| Thumbprint::from(&device));
    let asked = serde_json::from_slice::<OneDevice>(body).map(|asked| asked.device);
    let (status, answer) = bench.ask(&bench.inside, path, body);
    let left = bench.store.0.lock().expect("nobody panics with it").len();
    if status == StatusCode::OK {
        let asked = asked.expect("what was done was read");
        assert!(names[..2].contains(&asked), "another address's device, or nobody's");
        assert_eq!(left, if path == REMOVE_DEVICE { 2 } else { 3 });
        let listed: Devices = serde_json::from_slice(&answer).expect("a list");
        assert!(listed.devices.iter().all(|one| names[..2].contains(&one.device)));
        assert_eq!(listed.devices.len(), left - 1);
    } else {
        assert!(matches!(status.as_u16(), 400 | 404 | 422), "{status}");
        assert!(status != StatusCode::NOT_FOUND || asked.is_ok_and(|it| !names[..2].contains(&it)));
        assert_eq!(left, 3, "a refusal changes nothing");
        let problem: serde_json::Value = serde_json::from_slice(&answer).expect("a problem");
        assert_eq!(problem["status"], status.as_u16());
    }
}

fn other_device(seed: u8) -> PeerKey {
    PeerSecret::from_bytes(&Secret::new([seed; 32])).public()
}

struct Bench {
    runtime: Runtime,
    router: axum::Router,
    /// What the first device is served inside.
    inside: axum::Router,
    store: Memory,
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
            control: None,
            now: Arc::new(|| NOW.seconds()),
        };
        let exit = Exit::spawn(config, ()).expect("loopback has a port");
        let tunnel = TunnelEnd {
            public_key: fixture::device(),
            endpoint: exit.listen_addr(),
            inner_address: "100.64.0.2".parse().expect("an address"),
            resolver: inner,
        };
        let store = Memory::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let serves = SERVED.map(|network| network.parse().expect("a network")).to_vec();
        let gateway = Arc::new(Gateway::new(
            store.clone(),
            EnclaveWatch::new(Enclave),
            exit.clone(),
            Terms { serves, tunnel: tunnel.clone(), devices: NonZero::<u32>::MIN },
            Arc::clone(&clock) as Arc<dyn Clock>,
            &telemetry::Metrics::new(clock),
        ));
        runtime.block_on(gateway.enclave().attest()).expect("it attests");
        let asker = Extension(Asker(fixture::device()));
        let inside = inside_router(Arc::clone(&gateway)).layer(asker);
        Self { runtime, router: router(gateway), inside, store, exit, tunnel }
    }

    fn reset(&self) {
        for (device, _) in self.store.0.lock().expect("nobody panics with it").drain() {
            self.exit.remove_peer(&device);
        }
    }

    fn ask(&self, router: &axum::Router, path: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_vec()))
            .expect("a request");
        self.runtime.block_on(async {
            let response = router.clone().oneshot(request).await.expect("it always answers");
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
struct Memory(Arc<Mutex<HashMap<PeerKey, Grant>>>);

impl Memory {
    fn of_address(&self, device: &PeerKey) -> Option<Vec<Grant>> {
        let all = self.0.lock().expect("nobody panics with it");
        let address = all.get(device)?.address;
        Some(all.values().filter(|grant| grant.address == address).cloned().collect())
    }

    fn granted(&self, Wish { by, device, .. }: Wish) -> Granted {
        let Some(left) = self.of_address(&by) else { return Granted::NoPeer };
        let named = left.iter().find(|grant| Thumbprint::from(&grant.device) == device);
        match named.map(|grant| grant.device) {
            Some(device) => Granted::Done { device, left },
            None => Granted::Unknown,
        }
    }
}

impl GrantStore for Memory {
    async fn keep(&self, grant: Grant, _: NonZero<u32>, _: Hour) -> Result<Kept, Error> {
        let mut all = self.0.lock().expect("nobody panics with it");
        let longer = |former: &&Grant| former.address == grant.address && former.ends >= grant.ends;
        let kept = all.get(&grant.device).filter(longer).unwrap_or(&grant).clone();
        all.insert(kept.device, kept.clone());
        Ok(Kept::InForce(kept))
    }

    async fn beside(&self, device: PeerKey, _: Hour) -> Result<Option<Vec<Grant>>, Error> {
        Ok(self.of_address(&device))
    }

    async fn remove(&self, wish: Wish, _: Hour) -> Result<Granted, Error> {
        let granted = self.granted(wish);
        let Granted::Done { device, mut left } = granted else { return Ok(granted) };
        self.0.lock().expect("nobody panics with it").remove(&device);
        left.retain(|grant| grant.device != device);
        Ok(Granted::Done { device, left })
    }

    async fn take_back(&self, wish: Wish) -> Result<Granted, Error> {
        Ok(self.granted(wish))
    }

    async fn all(&self) -> Result<Vec<Grant>, Error> {
        Ok(self.0.lock().expect("nobody panics with it").values().cloned().collect())
    }

    async fn forget(&self, grants: Vec<Grant>) -> Result<(), Error> {
        let mut all = self.0.lock().expect("nobody panics with it");
        all.retain(|_, grant| !grants.contains(grant));
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
    let named =
        |device: &PeerKey| serde_json::json!({ "device": Thumbprint::from(device) }).to_string();
    vec![
        tagged(4, named(&fixture::device())),
        tagged(4, named(&other_device(1))),
        tagged(4, named(&other_device(2))),
        tagged(6, named(&other_device(1))),
        tagged(6, named(&other_device(2))),
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
