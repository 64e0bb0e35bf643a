//! Several devices with one address, each in its tunnel: what they see of each other, and how one removes another.

use std::future::poll_fn;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use coarse::{Clock, FixedClock, Hour, Secret, UnixTime};
use enclave_watch::{AttestError, Attestor, EnclaveWatch};
use gateway::grants::SqliteGrants;
use gateway::{Gateway, ROUTES, Refused, Terms, inside_router, router, way_in};
use gateway_api::{DEVICES, Devices, Peer, REMOVAL, REMOVE_DEVICE, RESTORE_DEVICE};
use http::{Method, Request, Response};
use jws::{Compact, KeySet, SigningKey};
use lease::{Dat, TunnelEnd};
use peer_key::{PeerKey, PeerSecret, Thumbprint};
use serde_json::{Value, json};
use service::{ClientConfig, HttpClient, Inside, ReceivedProblem, ServeConfig, Server};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tunnel::{
    Client, ClientHandle, DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig, ExitHandle, Limits,
};

const PATIENCE: Duration = Duration::from_secs(20);
const HERE: &str = "127.0.77.1";
const THERE: &str = "127.0.77.2";

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    pub(super) struct FakeEnclave;

    pub(super) fn signing_key() -> SigningKey {
        SigningKey::from_seed(&Secret::new([1; 32])).unwrap()
    }

    impl Attestor for FakeEnclave {
        async fn minting_keys(&self) -> Result<KeySet, AttestError> {
            Ok(KeySet::from(signing_key().verifying_key()))
        }
    }

    pub(super) fn secret(seed: u8) -> PeerSecret {
        PeerSecret::from_bytes(&Secret::new([seed; 32]))
    }

    pub(super) fn key(seed: u8) -> PeerKey {
        secret(seed).public()
    }

    pub(super) fn name(seed: u8) -> Thumbprint {
        Thumbprint::from(&key(seed))
    }

    /// A token for the device of this seed, made `now`.
    pub(super) fn dat(seed: u8, address: &str, now: UnixTime) -> Compact {
        let (address, region) = (address.parse().unwrap(), "eu-1".parse().unwrap());
        Dat::new(address, region, &key(seed)).sign(&signing_key(), now).unwrap()
    }

    /// A running gateway for 127.0.77.0/24, outside and inside.
    pub(super) struct Running {
        pub(super) gateway: Arc<Gateway<SqliteGrants, FakeEnclave>>,
        pub(super) exit: ExitHandle,
        pub(super) clock: Arc<FixedClock>,
        pub(super) outside: SocketAddr,
        _stop: [oneshot::Sender<()>; 2],
    }

    pub(super) async fn start(room: &TempDir, now: UnixTime) -> Running {
        let clock = Arc::new(FixedClock::new(now));
        let ticking = Arc::clone(&clock);
        let (control, flows) = way_in();
        let exit = Exit::spawn(
            ExitConfig {
                listen: "127.0.0.1:0".parse().unwrap(),
                secret_key: secret(99),
                former_keys: vec![],
                inner_address: "100.64.0.1".parse().unwrap(),
                mtu: DEFAULT_MTU,
                policy: DestinationPolicy { local: true, never: vec![] },
                limits: Limits::default(),
                control: Some(control),
                now: Arc::new(move || ticking.now().seconds()),
            },
            (),
        );
        let exit = exit.unwrap();
        let tunnel = TunnelEnd {
            public_key: key(99),
            endpoint: exit.listen_addr(),
            inner_address: "100.64.0.2".parse().unwrap(),
            resolver: "100.64.0.1".parse().unwrap(),
        };
        let terms = Terms {
            serves: vec!["127.0.77.0/24".parse().unwrap()],
            tunnel,
            devices: NonZero::new(10).unwrap(),
        };
        let metrics = Metrics::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let gateway = Arc::new(Gateway::new(
            SqliteGrants::open(&room.path().join("gateway.sqlite")).unwrap(),
            EnclaveWatch::new(FakeEnclave),
            exit.clone(),
            terms,
            Arc::clone(&clock) as Arc<dyn Clock>,
            &metrics,
        ));
        gateway.enclave().attest().await.unwrap();
        gateway.restore().await.unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = ServeConfig { routes: &ROUTES, metrics, ..ServeConfig::new(listen) };
        let inside = Inside::new(config.clone(), flows, ()).unwrap();
        let server = Server::bind(config, ()).await.unwrap();
        let outside = server.local_addr();
        let ([stop, stop_inside], [stopped, stopped_inside]) = pairs();
        tokio::spawn(server.run_until(router(Arc::clone(&gateway)), async {
            let _ = stopped.await;
        }));
        tokio::spawn(inside.run_until(inside_router(Arc::clone(&gateway)), async {
            let _ = stopped_inside.await;
        }));
        Running { gateway, exit, clock, outside, _stop: [stop, stop_inside] }
    }

    type Pairs = ([oneshot::Sender<()>; 2], [oneshot::Receiver<()>; 2]);

    fn pairs() -> Pairs {
        let ((one, first), (other, second)) = (oneshot::channel(), oneshot::channel());
        ([one, other], [first, second])
    }

    impl Running {
        /// The device of this seed comes with a fresh token, and opens its tunnel.
        pub(super) async fn enter(&self, seed: u8, address: &str) -> Device {
            let dat = dat(seed, address, self.clock.now());
            let peer = self.gateway.admit(dat, key(seed)).await.unwrap();
            Device::open(seed, &peer)
        }

        /// Ends the gateway, so that its database can be opened again.
        pub(super) async fn stop(self) {
            let Self { gateway, exit, _stop, .. } = self;
            drop(_stop);
            exit.shutdown();
            let weak = Arc::downgrade(&gateway);
            drop(gateway);
            while weak.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// A device with an open tunnel.
    pub(super) struct Device {
        pub(super) tunnel: ClientHandle,
        pub(super) inside: String,
    }

    impl Device {
        pub(super) fn open(seed: u8, peer: &Peer) -> Self {
            let TunnelEnd { public_key, endpoint, inner_address, resolver } = peer.tunnel.clone();
            let tunnel = Client::spawn(tunnel::ClientConfig {
                secret_key: secret(seed),
                peer_public_key: public_key,
                peer_endpoint: endpoint,
                inner_address,
                resolver,
                bind: None,
                proxy_listen: "127.0.0.1:0".parse().unwrap(),
                mtu: DEFAULT_MTU,
                keepalive: None,
            });
            let inside = format!("http://{resolver}:{}", gateway_api::INSIDE_PORT);
            Self { tunnel: tunnel.unwrap(), inside }
        }

        /// Asks inside.
        pub(super) async fn ask(&self, method: Method, path: &str, body: &str) -> Response<Bytes> {
            let proxy = Some(self.tunnel.proxy_addr());
            let client = HttpClient::new(ClientConfig { proxy, ..ClientConfig::default() }, ());
            let request = Request::builder().method(method).uri(format!("{}{path}", self.inside));
            let request = request.header("content-type", "application/json");
            client.send(request.body(Bytes::from(body.to_owned())).unwrap()).await.unwrap()
        }

        pub(super) async fn list(&self) -> Devices {
            listed(&self.ask(Method::GET, DEVICES, "").await).unwrap()
        }

        /// Wants something to become of the device of this seed: the list, or status and slug.
        pub(super) async fn want(&self, path: &str, seed: u8) -> Result<Devices, (u16, String)> {
            listed(&self.ask(Method::POST, path, &named(seed).to_string()).await)
        }

        /// From which address a connection through the tunnel comes; it stays open.
        pub(super) fn connect(&self, server: &TcpListener) -> (TcpStream, TcpStream, String) {
            let mut near = TcpStream::connect(self.tunnel.proxy_addr()).unwrap();
            near.set_read_timeout(Some(PATIENCE)).unwrap();
            let to = server.local_addr().unwrap();
            write!(near, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").unwrap();
            let (far, from) = server.accept().unwrap();
            far.set_read_timeout(Some(PATIENCE)).unwrap();
            (near, far, from.ip().to_string())
        }
    }

    pub(super) fn named(seed: u8) -> Value {
        json!({ "device": name(seed) })
    }

    fn listed(response: &Response<Bytes>) -> Result<Devices, (u16, String)> {
        if response.status() == 200 {
            return Ok(serde_json::from_slice(response.body()).unwrap());
        }
        let problem = ReceivedProblem::from_response(response);
        Err((problem.status, problem.slug().to_owned()))
    }

    /// What is to be listed: these devices, of which the first asks.
    pub(super) fn those(seeds: &[u8], ends: Hour) -> Devices {
        let device = |seed: &u8| {
            let this = Some(seed) == seeds.first();
            gateway_api::Device { device: name(*seed), ends, this }
        };
        let mut devices: Vec<_> = seeds.iter().map(device).collect();
        devices.sort_by_key(|device| device.device);
        Devices { devices }
    }
}

use fixture::{Device, NOW, dat, key, named, start, those};

fn unknown() -> (u16, String) {
    (404, "device-unknown".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_one_address_leave_from_it_and_see_each_other_only() {
    let room = tempfile::tempdir().unwrap();
    let running = start(&room, NOW).await;
    let (one, two) = (running.enter(1, HERE).await, running.enter(2, HERE).await);
    let other = running.enter(3, THERE).await;
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    for (device, address) in [(&one, HERE), (&two, HERE), (&other, THERE)] {
        assert_eq!(device.connect(&web).2, address);
    }
    let ends = Dat::end(NOW);
    assert_eq!(one.list().await, those(&[1, 2], ends));
    assert_eq!(two.list().await, those(&[2, 1], ends));
    assert_eq!(other.list().await, those(&[3], ends));
    // A device that is let in and has no tunnel is listed, too; one whose token has ended isn't.
    let later = NOW.plus(Duration::from_secs(36_000));
    running.gateway.admit(dat(1, HERE, later), key(1)).await.unwrap();
    running.gateway.admit(dat(4, HERE, later), key(4)).await.unwrap();
    running.clock.set(ends.start());
    assert_eq!(one.list().await, those(&[1, 4], Dat::end(later)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_is_cut_off_at_once_and_refused_and_others_go_on() {
    let room = tempfile::tempdir().unwrap();
    let running = start(&room, NOW).await;
    let (keeper, lost) = (running.enter(1, HERE).await, running.enter(2, HERE).await);
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut kept, mut kept_far, _) = keeper.connect(&web);
    let (_cut, mut cut_far, _) = lost.connect(&web);
    let ends = Dat::end(NOW);
    assert_eq!(keeper.want(REMOVE_DEVICE, 2).await, Ok(those(&[1], ends)));
    assert_eq!(cut_far.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(running.exit.peers(), 1);
    kept.write_all(b"x").unwrap();
    kept_far.read_exact(&mut [0]).unwrap();
    // Neither the token that it has nor the next one opens anything, here or for another address.
    let later = NOW.plus(Duration::from_secs(36_000));
    for token in [dat(2, HERE, NOW), dat(2, HERE, later), dat(2, THERE, NOW)] {
        let refused = running.gateway.admit(token, key(2)).await;
        assert!(matches!(refused, Err(Refused::Removed)), "{refused:?}");
    }
    // Again, after its answer was lost, say.
    assert_eq!(keeper.want(REMOVE_DEVICE, 2).await, Ok(those(&[1], ends)));
    // When whatever a lost device may hold has ended it is a device like others. (It is a full hour now.)
    assert_eq!(NOW.hour().start(), NOW);
    running.clock.set(NOW.plus(REMOVAL).minus(Duration::from_secs(1)));
    let token = dat(2, HERE, running.clock.now());
    let refused = running.gateway.admit(token.clone(), key(2)).await;
    assert!(matches!(refused, Err(Refused::Removed)), "{refused:?}");
    running.clock.set(NOW.plus(REMOVAL));
    running.gateway.admit(token, key(2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_outlives_a_restart_and_can_be_taken_back() {
    let room = tempfile::tempdir().unwrap();
    let running = start(&room, NOW).await;
    let keeper = running.enter(1, HERE).await;
    running.enter(2, HERE).await;
    keeper.want(REMOVE_DEVICE, 2).await.unwrap();
    keeper.tunnel.shutdown();
    running.stop().await;

    let running = start(&room, NOW).await;
    assert_eq!(running.exit.peers(), 1);
    let token = dat(2, HERE, NOW);
    let refused = running.gateway.admit(token.clone(), key(2)).await;
    assert!(matches!(refused, Err(Refused::Removed)), "{refused:?}");
    let keeper = running.enter(1, HERE).await;
    for _ in 0..2 {
        let left = keeper.want(RESTORE_DEVICE, 2).await;
        assert_eq!(left, Ok(those(&[1], Dat::end(NOW))));
    }
    let back = Device::open(2, &running.gateway.admit(token, key(2)).await.unwrap());
    assert_eq!(back.list().await, those(&[2, 1], Dat::end(NOW)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_touches_or_learns_of_devices_of_another_address() {
    let room = tempfile::tempdir().unwrap();
    let running = start(&room, NOW).await;
    let (one, other) = (running.enter(1, HERE).await, running.enter(3, THERE).await);
    running.enter(2, HERE).await;
    one.want(REMOVE_DEVICE, 2).await.unwrap();
    // Those of another address and those of nobody, removed or not, are all alike.
    for path in [REMOVE_DEVICE, RESTORE_DEVICE] {
        let mut said = Vec::new();
        for seed in [1, 2, 50] {
            assert_eq!(other.want(path, seed).await, Err(unknown()), "{path} {seed}");
            said.push(other.ask(Method::POST, path, &named(seed).to_string()).await.into_body());
        }
        assert!(said.windows(2).all(|two| two[0] == two[1]), "{said:?}");
    }
    assert_eq!(running.exit.peers(), 2);
    assert_eq!(one.list().await, those(&[1], Dat::end(NOW)));
    let refused = running.gateway.admit(dat(2, HERE, NOW), key(2)).await;
    assert!(matches!(refused, Err(Refused::Removed)));
}

/// The asker's own tunnel ends with it, so the answer may get lost; it is done all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_remove_itself() {
    let room = tempfile::tempdir().unwrap();
    let running = start(&room, NOW).await;
    let (one, two) = (running.enter(1, HERE).await, running.enter(2, HERE).await);
    let client = ClientConfig { proxy: Some(one.tunnel.proxy_addr()), ..ClientConfig::default() };
    let request = Request::post(format!("{}{REMOVE_DEVICE}", one.inside));
    let request = request.header("content-type", "application/json");
    let body = Bytes::from(named(1).to_string());
    let asked = HttpClient::new(client, ());
    // Whether or not somebody waits for the answer.
    let asking = tokio::spawn(async move { asked.send(request.body(body).unwrap()).await });
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while running.exit.peers() > 1 {
        assert!(tokio::time::Instant::now() < deadline, "it is there still");
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert_eq!(two.list().await, those(&[2], Dat::end(NOW)));
    let refused = running.gateway.admit(dat(1, HERE, NOW), key(1)).await;
    assert!(matches!(refused, Err(Refused::Removed)));
}

/// A removal that has begun is finished when nobody waits for it any more.
#[tokio::test]
async fn a_removal_is_finished_without_its_asker() {
    let room = tempfile::tempdir().unwrap();
    let running = start(&room, NOW).await;
    for seed in [1, 2] {
        running.gateway.admit(dat(seed, HERE, NOW), key(seed)).await.unwrap();
    }
    // Begun, then given up.
    let mut asking = Box::pin(running.gateway.remove_device(key(1), fixture::name(2)));
    let begun = poll_fn(|context| Poll::Ready(asking.as_mut().poll(context).is_pending())).await;
    assert!(begun);
    drop(asking);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while running.exit.peers() > 1 {
        assert!(tokio::time::Instant::now() < deadline, "it is there still");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_changes_nothing_and_is_a_problem_document() {
    let room = tempfile::tempdir().unwrap();
    let running = start(&room, NOW).await;
    let one = running.enter(1, HERE).await;
    running.enter(2, HERE).await;
    let long = "A".repeat(43);
    for (body, status) in [
        (String::new(), 400),
        ("{".to_owned(), 400),
        ("{}".to_owned(), 422),
        (json!([named(2)]).to_string(), 422),
        (json!({ "device": key(2) }).to_string(), 422),
        (json!({ "device": fixture::name(2).to_string() + "=" }).to_string(), 422),
        (json!({ "device": fixture::name(2), "more": 1 }).to_string(), 422),
        (json!({ "device": long }).to_string(), 404),
        (" ".repeat(20_000), 413),
    ] {
        for path in [REMOVE_DEVICE, RESTORE_DEVICE] {
            let said = one.ask(Method::POST, path, &body).await;
            assert_eq!(said.status(), status, "{path} {body}");
            assert_eq!(said.headers()["content-type"], "application/problem+json");
        }
    }
    for (method, path, status) in [
        (Method::POST, DEVICES, 405),
        (Method::GET, REMOVE_DEVICE, 405),
        (Method::GET, gateway_api::PEERS, 404),
        (Method::GET, "/metrics", 404),
        (Method::GET, "/health", 404),
    ] {
        assert_eq!(one.ask(method, path, "").await.status(), status, "{path}");
    }
    assert_eq!(one.list().await, those(&[1, 2], Dat::end(NOW)));
}

/// Outside there are no such routes, whoever says who they are.
#[tokio::test(flavor = "multi_thread")]
async fn outside_nothing_of_this_is_there() {
    let room = tempfile::tempdir().unwrap();
    let running = start(&room, NOW).await;
    running.enter(1, HERE).await;
    let outside = format!("http://{}", running.outside);
    for (method, path) in
        [(Method::GET, DEVICES), (Method::POST, REMOVE_DEVICE), (Method::POST, RESTORE_DEVICE)]
    {
        let request = Request::builder().method(method).uri(format!("{outside}{path}"));
        let request = request.header("content-type", "application/json");
        let request = request.body(Bytes::from(named(1).to_string())).unwrap();
        let said = HttpClient::new(ClientConfig::default(), ()).send(request).await.unwrap();
        assert_eq!(ReceivedProblem::from_response(&said).slug(), "not-found", "{path}");
    }
    // Nor through the tunnel to the outer address, where that can be reached.
    let one = running.enter(1, HERE).await;
    let through = Device { inside: outside, ..one };
    assert_eq!(through.ask(Method::GET, DEVICES, "").await.status(), 404);
}
