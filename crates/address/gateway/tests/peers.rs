//! The control API over HTTP: who becomes a peer, who doesn't, and what a restart finds.

use std::num::NonZero;
use std::sync::Arc;

use bytes::Bytes;
use coarse::{Clock, FixedClock, Hour, Secret, UnixTime};
use enclave_watch::{AttestError, Attestor, EnclaveWatch};
use gateway::grants::{GrantStore as _, SqliteGrants};
use gateway::{DESCRIPTION, Gateway, ROUTES, Terms, inside_router, router};
use gateway_api::{PEERS, Peer};
use http::{Response, StatusCode};
use jws::{Compact, KeySet, SigningKey};
use lease::{DAT_LIFE, Dat, ENCLAVE, GATEWAY_AUDIENCE, TunnelEnd};
use peer_key::{PeerKey, PeerSecret};
use serde_json::json;
use service::contract::Claims;
use service::{BaseUrl, ClientConfig, HttpClient, ReceivedProblem, ServeConfig, Server};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tunnel::{DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig, ExitHandle, Limits};

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
    pub(super) const SERVED: &str = "127.0.77.1";
    /// How many devices may use one address.
    pub(super) const DEVICES: u32 = 3;

    pub(super) fn signing_key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&Secret::new([seed; 32])).unwrap()
    }

    pub(super) fn device(seed: u8) -> PeerKey {
        PeerSecret::from_bytes(&Secret::new([seed; 32])).public()
    }

    /// A DAT for the first device, made `now` by the enclave.
    pub(super) fn dat(address: &str, now: UnixTime) -> Compact {
        unsigned(address).sign(&signing_key(1), now).unwrap()
    }

    pub(super) fn unsigned(address: &str) -> Dat {
        naming(1, address)
    }

    /// What a DAT for the device of this seed says.
    pub(super) fn naming(seed: u8, address: &str) -> Dat {
        Dat::new(address.parse().unwrap(), "eu-1".parse().unwrap(), &device(seed))
    }

    /// An enclave whose attestation names the key of this seed.
    pub(super) struct FakeEnclave(u8);

    impl Attestor for FakeEnclave {
        async fn minting_keys(&self) -> Result<KeySet, AttestError> {
            Ok(KeySet::from(signing_key(self.0).verifying_key()))
        }
    }

    /// A running gateway; dropping it ends it.
    pub(super) struct Service {
        pub(super) gateway: Arc<Gateway<SqliteGrants, FakeEnclave>>,
        pub(super) metrics: Metrics,
        pub(super) exit: ExitHandle,
        pub(super) store: SqliteGrants,
        pub(super) clock: Arc<FixedClock>,
        url: BaseUrl,
        _stop: oneshot::Sender<()>,
    }

    /// A gateway in `room`, at `now`, with an attested enclave whose key has this seed.
    pub(super) async fn start(room: &TempDir, now: UnixTime, seed: u8) -> Service {
        let service = start_unattested(room, now, seed).await;
        service.gateway.enclave().attest().await.unwrap();
        service.gateway.restore().await.unwrap();
        service
    }

    pub(super) async fn start_unattested(room: &TempDir, now: UnixTime, seed: u8) -> Service {
        let clock = Arc::new(FixedClock::new(now));
        let secret_key = PeerSecret::from_bytes(&Secret::new([7; 32]));
        let (public_key, ticking) = (secret_key.public(), Arc::clone(&clock));
        let config = ExitConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            secret_key,
            former_keys: vec![],
            inner_address: "100.64.0.1".parse().unwrap(),
            mtu: DEFAULT_MTU,
            policy: DestinationPolicy::default(),
            limits: Limits::default(),
            control: None,
            now: Arc::new(move || ticking.now().seconds()),
        };
        let exit = Exit::spawn(config, ()).unwrap();
        let store = SqliteGrants::open(&room.path().join("gateway.sqlite")).unwrap();
        let tunnel = TunnelEnd {
            public_key,
            endpoint: exit.listen_addr(),
            inner_address: "100.64.0.2".parse().unwrap(),
            resolver: "100.64.0.1".parse().unwrap(),
        };
        let metrics = Metrics::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let gateway = Arc::new(Gateway::new(
            store.clone(),
            EnclaveWatch::new(FakeEnclave(seed)),
            exit.clone(),
            Terms {
                serves: ["127.0.76.0/24", "127.0.77.0/30", "2001:db8::/56"]
                    .map(|network| network.parse().unwrap())
                    .to_vec(),
                tunnel,
                devices: NonZero::new(DEVICES).unwrap(),
            },
            Arc::clone(&clock) as Arc<dyn Clock>,
            &metrics,
        ));
        let listen = "127.0.0.1:0".parse().unwrap();
        let config =
            ServeConfig { routes: &ROUTES, metrics: metrics.clone(), ..ServeConfig::new(listen) };
        let server = Server::bind(config, ()).await.unwrap();
        let url = BaseUrl::plain(server.local_addr()).unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(server.run_until(router(Arc::clone(&gateway)), async {
            let _ = stopped.await;
        }));
        Service { gateway, metrics, exit, store, clock, url, _stop: stop }
    }

    impl Service {
        pub(super) async fn post(&self, body: serde_json::Value) -> Response<Bytes> {
            let client = HttpClient::new(ClientConfig::default(), ());
            client.post_json(&self.url, PEERS, &body).await.unwrap()
        }

        /// The device of this seed comes with a token that was made `now`: its end, or status and slug.
        pub(super) async fn come(
            &self,
            seed: u8,
            address: &str,
            now: UnixTime,
        ) -> Result<Hour, (u16, String)> {
            let dat = naming(seed, address).sign(&signing_key(1), now).unwrap();
            let response = self.post(json!({ "dat": dat, "device": device(seed) })).await;
            if response.status() == StatusCode::OK {
                return Ok(serde_json::from_slice::<Peer>(response.body()).unwrap().ends);
            }
            let problem = ReceivedProblem::from_response(&response);
            Err((problem.status, problem.slug().to_owned()))
        }

        pub(super) async fn health(&self) -> u16 {
            let client = HttpClient::new(ClientConfig::default(), ());
            client.get(&self.url, "/health").await.unwrap().status().as_u16()
        }

        pub(super) async fn add(&self, dat: &Compact) -> Peer {
            let response = self.post(json!({ "dat": dat, "device": device(1) })).await;
            assert_eq!(response.status(), StatusCode::OK, "{:?}", response.body());
            serde_json::from_slice(response.body()).unwrap()
        }

        /// That a request is refused and changes nothing; status and slug.
        pub(super) async fn refused(&self, body: serde_json::Value) -> (u16, String) {
            let before = (self.exit.peers(), self.store.all().await.unwrap());
            let problem = ReceivedProblem::from_response(&self.post(body).await);
            assert_eq!((self.exit.peers(), self.store.all().await.unwrap()), before);
            (problem.status, problem.slug().to_owned())
        }

        pub(super) async fn refused_dat(&self, dat: &Compact) -> (u16, String) {
            self.refused(json!({ "dat": dat, "device": device(1) })).await
        }

        /// What the answer says of a token that is refused.
        pub(super) async fn detail(&self, dat: &Compact) -> String {
            let response = self.post(json!({ "dat": dat, "device": device(1) })).await;
            ReceivedProblem::from_response(&response).detail.unwrap()
        }

        /// When the one kept grant ends.
        pub(super) async fn kept_end(&self) -> Hour {
            let [grant] = self.store.all().await.unwrap().try_into().unwrap();
            grant.ends
        }

        /// Ends the gateway, so that its database can be opened again.
        pub(super) async fn stop(self) {
            let Self { gateway, exit, store, _stop, .. } = self;
            drop((store, _stop));
            exit.shutdown();
            let weak = Arc::downgrade(&gateway);
            drop(gateway);
            while weak.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}

use fixture::{DEVICES, NOW, SERVED, dat, device, signing_key, start, start_unattested, unsigned};

#[tokio::test]
async fn a_good_token_makes_its_device_a_peer_until_it_ends() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let peer = service.add(&dat(SERVED, NOW)).await;
    assert_eq!(peer.exit_address, SERVED.parse().unwrap());
    assert_eq!(peer.ends, NOW.plus(DAT_LIFE).hour());
    assert_eq!(peer.tunnel.endpoint, service.exit.listen_addr());
    assert_eq!(service.exit.peers(), 1);
    service.clock.set(peer.ends.start());
    assert_eq!(service.exit.peers(), 0);
    service.gateway.tidy().await.unwrap();
    assert!(service.store.all().await.unwrap().is_empty());
}

#[tokio::test]
async fn adding_again_changes_nothing_and_a_later_token_extends() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let early = dat(SERVED, NOW);
    let late = dat(SERVED, NOW.plus(std::time::Duration::from_secs(36_000)));
    let first = service.add(&early).await;
    assert_eq!(service.add(&early).await, first);
    let extended = service.add(&late).await;
    assert_eq!(extended.ends.number(), first.ends.number() + 10);
    assert_eq!(service.kept_end().await, extended.ends);
    // The former token is good still, and shortens nothing.
    assert_eq!(service.add(&early).await, extended);
    assert_eq!(service.kept_end().await, extended.ends);
    assert_eq!(service.exit.peers(), 1);
    service.clock.set(first.ends.start());
    assert_eq!(service.exit.peers(), 1);
}

#[tokio::test]
async fn a_token_for_another_address_moves_the_device() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    service.add(&dat(SERVED, NOW)).await;
    let other = service.add(&dat("127.0.76.9", NOW)).await;
    assert_eq!(other.exit_address, "127.0.76.9".parse().unwrap());
    assert_eq!(service.exit.peers(), 1);
}

#[tokio::test]
async fn tokens_that_are_not_the_enclaves_are_refused() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let dat = unsigned(SERVED);
    let ends = Some(Dat::end(NOW));
    let key = signing_key(1);
    let sign = |issuer, audience, ends| jws::sign(&key, issuer, &[audience], ends, &dat).unwrap();
    for wrong in [
        dat.sign(&signing_key(2), NOW).unwrap(),
        sign("dip-service", GATEWAY_AUDIENCE, ends),
        sign(ENCLAVE, "dip-service", ends),
        sign(ENCLAVE, GATEWAY_AUDIENCE, None),
        Compact::new("a.b.c".into()),
        Compact::new(String::new()),
    ] {
        assert_eq!(service.refused_dat(&wrong).await, (401, "dat-refused".into()));
    }
}

#[tokio::test]
async fn an_ended_token_is_refused() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let dat = dat(SERVED, NOW);
    let end = Dat::end(NOW).start();
    for seconds in [0, 59, 60, 3600] {
        service.clock.set(end.plus(std::time::Duration::from_secs(seconds)));
        assert_eq!(service.refused_dat(&dat).await, (401, "dat-expired".into()));
    }
}

#[tokio::test]
async fn another_device_is_refused() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let body = json!({ "dat": dat(SERVED, NOW), "device": device(2) });
    assert_eq!(service.refused(body).await, (403, "device-mismatch".into()));
}

#[tokio::test]
async fn an_address_of_another_gateway_is_refused() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    for address in ["127.0.77.4", "127.0.75.1", "2001:db9::1", "2001:db8:0:100::/64"] {
        let refused = service.refused_dat(&dat(address, NOW)).await;
        assert_eq!(refused, (422, "address-not-served".into()));
        let detail = service.detail(&dat(address, NOW)).await;
        assert!(detail.starts_with("go to the gateway that came with the lease"), "{detail}");
    }
    // A part of a leased prefix isn't enough.
    let detail = service.detail(&dat("2001:db8::/48", NOW)).await;
    assert!(detail.starts_with("go to the gateway that came with the lease"), "{detail}");
}

/// A tunnel that carries nothing isn't opened.
#[tokio::test]
async fn an_ipv6_address_is_refused_where_tunnels_carry_ipv4_only() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    for address in ["2001:db8::1", "2001:db8:0:ff::/64", "2001:db8::/56"] {
        let dat = dat(address, NOW);
        assert_eq!(service.refused_dat(&dat).await, (422, "address-not-served".into()));
        let detail = service.detail(&dat).await;
        assert!(detail.starts_with("its tunnels carry IPv4 only"), "{detail}");
    }
}

#[tokio::test]
async fn bodies_of_another_form_are_refused() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let dat = dat(SERVED, NOW);
    for body in [
        json!({}),
        json!({ "dat": dat }),
        json!({ "dat": dat, "device": "AAAA" }),
        // A point of low order.
        json!({ "dat": dat, "device": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" }),
        json!({ "dat": dat, "device": device(1), "more": 1 }),
    ] {
        assert_eq!(service.refused(body).await.0, 422);
    }
}

#[tokio::test]
async fn nobody_is_let_in_before_the_enclave_is_attested() {
    let room = tempfile::tempdir().unwrap();
    let service = start_unattested(&room, NOW, 1).await;
    let dat = dat(SERVED, NOW);
    assert_eq!(service.refused_dat(&dat).await, (503, "enclave-unavailable".into()));
    service.gateway.restore().await.unwrap();
    assert_eq!(service.health().await, 503);
    service.gateway.enclave().attest().await.unwrap();
    service.gateway.restore().await.unwrap();
    assert_eq!(service.health().await, 200);
    service.add(&dat).await;
}

#[tokio::test]
async fn a_restart_cuts_nobody_off() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let peer = service.add(&dat(SERVED, NOW)).await;
    service.stop().await;
    let service = start(&room, NOW, 1).await;
    assert_eq!(service.exit.peers(), 1);
    service.clock.set(peer.ends.start());
    assert_eq!(service.exit.peers(), 0);
}

#[tokio::test]
async fn a_restart_forgets_what_is_not_good_any_more() {
    for (now, seed) in [(Dat::end(NOW).start(), 1), (NOW, 2)] {
        let room = tempfile::tempdir().unwrap();
        let service = start(&room, NOW, 1).await;
        service.add(&dat(SERVED, NOW)).await;
        service.stop().await;
        let service = start(&room, now, seed).await;
        assert_eq!(service.exit.peers(), 0);
        assert!(service.store.all().await.unwrap().is_empty());
    }
}

/// A gateway that is started for other addresses by mistake lets their devices not in, and loses nothing.
#[tokio::test]
async fn a_restart_keeps_what_is_good_elsewhere() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    // Or in another mode, for addresses that this one's tunnels can't carry.
    for (device, address) in [(device(1), "127.0.99.1"), (device(2), "2001:db8::1")] {
        let dat = Dat::new(address.parse().unwrap(), "eu-1".parse().unwrap(), &device)
            .sign(&signing_key(1), NOW)
            .unwrap();
        let (address, ends) = (address.parse().unwrap(), Dat::end(NOW));
        let grant = gateway::grants::Grant { device, address, ends, dat };
        service.store.keep(grant, NonZero::<u32>::MIN, NOW.hour()).await.unwrap();
    }
    service.stop().await;
    let service = start(&room, NOW, 1).await;
    assert_eq!(service.exit.peers(), 0);
    assert_eq!(service.store.all().await.unwrap().len(), 2);
}

#[tokio::test]
async fn concurrent_tokens_leave_the_later_one() {
    let room = tempfile::tempdir().unwrap();
    let service = Arc::new(start(&room, NOW, 1).await);
    let mut tasks = tokio::task::JoinSet::new();
    for hours in 0..8 {
        let service = Arc::clone(&service);
        let dat = dat(SERVED, NOW.plus(std::time::Duration::from_secs(3600 * hours)));
        tasks.spawn(async move { service.add(&dat).await });
    }
    tasks.join_all().await;
    let last = Dat::end(NOW).number() + 7;
    assert_eq!(service.kept_end().await, Hour::new(last));
    service.clock.set(Hour::new(last - 1).start());
    assert_eq!(service.exit.peers(), 1);
}

fn full() -> (u16, String) {
    (409, "device-limit-reached".to_owned())
}

#[tokio::test]
async fn so_many_devices_may_use_an_address_and_no_more() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let hours = |hours: u64| NOW.plus(std::time::Duration::from_secs(3600 * hours));
    // The first comes with a token that ends ten hours before the others'.
    let ends = service.come(1, SERVED, NOW).await.unwrap();
    for seed in 2..=DEVICES as u8 {
        service.come(seed, SERVED, hours(10)).await.unwrap();
    }
    let before = service.store.all().await.unwrap();
    assert_eq!(service.come(9, SERVED, hours(10)).await, Err(full()));
    assert_eq!(service.store.all().await.unwrap(), before);
    assert_eq!(service.exit.peers(), DEVICES as usize);
    // Another address has room of its own; and who is there moves away from this one and back again.
    service.come(9, "127.0.76.9", NOW).await.unwrap();
    service.come(2, "127.0.76.9", NOW).await.unwrap();
    service.come(9, SERVED, NOW).await.unwrap();
    assert_eq!(service.come(2, SERVED, NOW).await, Err(full()));
    service.come(9, "127.0.76.9", NOW).await.unwrap();
    service.come(2, SERVED, hours(10)).await.unwrap();
    // Who is there may come again, and extend.
    service.come(1, SERVED, NOW).await.unwrap();
    assert!(service.come(3, SERVED, hours(11)).await.unwrap() > ends);
    // With its end the first one's place is free, whether it was tidied away or not. Then it isn't there any more either.
    service.clock.set(ends.start());
    service.come(8, SERVED, hours(10)).await.unwrap();
    assert_eq!(service.come(1, SERVED, hours(10)).await, Err(full()));
    service.gateway.tidy().await.unwrap();
    assert_eq!(service.come(1, SERVED, hours(10)).await, Err(full()));
}

/// An operator who allows fewer than there are cuts nobody off.
#[tokio::test]
async fn who_is_there_stays_when_fewer_are_allowed() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let grant = |seed| gateway::grants::Grant {
        device: device(seed),
        address: SERVED.parse().unwrap(),
        ends: Dat::end(NOW),
        dat: fixture::naming(seed, SERVED).sign(&signing_key(1), NOW).unwrap(),
    };
    let many = NonZero::new(DEVICES + 2).unwrap();
    for seed in 1..=DEVICES as u8 + 2 {
        service.store.keep(grant(seed), many, NOW.hour()).await.unwrap();
    }
    service.stop().await;
    let service = start(&room, NOW, 1).await;
    assert_eq!(service.exit.peers(), DEVICES as usize + 2);
    let later = NOW.plus(std::time::Duration::from_secs(3600));
    service.come(DEVICES as u8 + 2, SERVED, later).await.unwrap();
    assert_eq!(service.come(9, SERVED, later).await, Err(full()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_that_come_at_once_as_many_get_in_as_there_are_places() {
    let room = tempfile::tempdir().unwrap();
    let service = Arc::new(start(&room, NOW, 1).await);
    for round in 0..8_u8 {
        let address = format!("127.0.76.{}", round + 1);
        let mut tasks = tokio::task::JoinSet::new();
        for other in 0..8 {
            let (service, address) = (Arc::clone(&service), address.clone());
            tasks.spawn(async move { service.come(10 + round * 8 + other, &address, NOW).await });
        }
        let came = tasks.join_all().await;
        let refused: Vec<_> = came.iter().filter_map(|came| came.as_ref().err()).collect();
        assert_eq!(refused, vec![&full(); 8 - DEVICES as usize]);
        assert_eq!(service.exit.peers(), DEVICES as usize * (usize::from(round) + 1));
    }
}

#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let room = tempfile::tempdir().unwrap();
    let service = start(&room, NOW, 1).await;
    let claims = Claims {
        name: "gateway",
        description: DESCRIPTION,
        routes: &ROUTES,
        router: router(Arc::clone(&service.gateway)),
        metrics: service.metrics.clone(),
        sources: &[include_str!("../src/http.rs"), include_str!("../src/inside.rs")],
        documents: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs").as_ref(),
    };
    let inside = inside_router(Arc::clone(&service.gateway));
    assert_eq!(claims.deviations_with(inside).await.unwrap(), [""; 0]);
}
