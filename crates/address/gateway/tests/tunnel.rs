//! A device that was let in: what it sends leaves from the address that its token names.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use coarse::{Clock, FixedClock, Secret, SystemClock, UnixTime};
use enclave_watch::{AttestError, Attestor, EnclaveWatch};
use gateway::grants::SqliteGrants;
use gateway::{Gateway, Refused, Terms};
use gateway_api::Peer;
use jws::{Compact, KeySet, SigningKey};
use lease::{Dat, TunnelEnd};
use peer_key::PeerSecret;
use tempfile::TempDir;
use tunnel::{
    Client, ClientConfig, ClientHandle, DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig,
    ExitHandle, Limits, NeverRule,
};

const LEASED: &str = "127.0.77.1";

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) struct FakeEnclave;

    pub(super) fn signing_key() -> SigningKey {
        SigningKey::from_seed(&Secret::new([1; 32])).unwrap()
    }

    impl Attestor for FakeEnclave {
        async fn minting_keys(&self) -> Result<KeySet, AttestError> {
            Ok(KeySet::from(signing_key().verifying_key()))
        }
    }

    /// A server that tells each caller where it seems to be, on its own thread.
    pub(super) fn mirror() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((mut caller, from)) = listener.accept() {
                let _ = caller.write_all(from.ip().to_string().as_bytes());
            }
        });
        address
    }

    /// A server with which connections stay open, and what it accepts.
    pub(super) fn patient() -> (SocketAddr, Receiver<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, connections) = channel();
        std::thread::spawn(move || {
            while let Ok((caller, _)) = listener.accept() {
                caller.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                accepted.send(caller).unwrap();
            }
        });
        (address, connections)
    }

    /// A gateway for 127.0.77.0/24 whose clock is `clock`, with an attested enclave.
    pub(super) async fn gateway(
        room: &TempDir,
        clock: Arc<dyn Clock>,
        never: Vec<NeverRule>,
    ) -> (Gateway<SqliteGrants, FakeEnclave>, ExitHandle) {
        let secret_key = PeerSecret::from_bytes(&Secret::new([7; 32]));
        let (public_key, ticking) = (secret_key.public(), Arc::clone(&clock));
        let exit = ExitConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            secret_key,
            former_keys: vec![],
            inner_address: "100.64.0.1".parse().unwrap(),
            mtu: DEFAULT_MTU,
            policy: DestinationPolicy { local: true, never },
            limits: Limits::default(),
            control: None,
            now: Arc::new(move || ticking.now().seconds()),
        };
        let exit = Exit::spawn(exit, ()).unwrap();
        let tunnel = TunnelEnd {
            public_key,
            endpoint: exit.listen_addr(),
            inner_address: "100.64.0.2".parse().unwrap(),
            resolver: "100.64.0.1".parse().unwrap(),
        };
        let gateway = Gateway::new(
            SqliteGrants::open(&room.path().join("gateway.sqlite")).unwrap(),
            EnclaveWatch::new(FakeEnclave),
            exit.clone(),
            Terms {
                serves: vec!["127.0.77.0/24".parse().unwrap()],
                tunnel,
                devices: NonZero::new(10).unwrap(),
            },
            clock,
            &telemetry::Metrics::new(Arc::new(SystemClock)),
        );
        gateway.enclave().attest().await.unwrap();
        (gateway, exit)
    }

    pub(super) fn device() -> PeerSecret {
        PeerSecret::from_bytes(&Secret::new([1; 32]))
    }

    /// The device's token, made `now`.
    pub(super) fn dat(now: UnixTime) -> Compact {
        let (address, region) = (LEASED.parse().unwrap(), "eu-1".parse().unwrap());
        Dat::new(address, region, &device().public()).sign(&signing_key(), now).unwrap()
    }

    /// The device's tunnel.
    pub(super) fn connect(peer: &Peer) -> ClientHandle {
        let client = Client::spawn(ClientConfig {
            secret_key: device(),
            peer_public_key: peer.tunnel.public_key,
            peer_endpoint: peer.tunnel.endpoint,
            inner_address: peer.tunnel.inner_address,
            resolver: peer.tunnel.resolver,
            bind: None,
            proxy_listen: "127.0.0.1:0".parse().unwrap(),
            mtu: DEFAULT_MTU,
            keepalive: None,
        })
        .unwrap();
        client.wait_connected(Duration::from_secs(20)).unwrap();
        client
    }

    /// What a server says through the proxy; nothing when the proxy says that it can't be reached.
    pub(super) fn asked(proxy: SocketAddr, server: SocketAddr) -> Option<String> {
        let mut stream = TcpStream::connect(proxy).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, said) = answer.split_once("\r\n\r\n").unwrap();
        head.split(' ').nth(1).is_some_and(|status| status == "200").then(|| said.to_owned())
    }
}

use fixture::{asked, connect, dat, device, gateway, mirror, patient};

#[tokio::test(flavor = "multi_thread")]
async fn traffic_leaves_from_the_leased_address_and_never_to_identity_services() {
    let (server, identity_service) = (mirror(), mirror());
    let room = tempfile::tempdir().unwrap();
    let never = vec![NeverRule::from(identity_service)];
    let (gateway, exit) = gateway(&room, Arc::new(SystemClock), never).await;
    let peer = gateway.admit(dat(SystemClock.now()), device().public()).await.unwrap();
    let client = connect(&peer);
    assert_eq!(asked(client.proxy_addr(), server).as_deref(), Some(LEASED));
    assert_eq!(asked(client.proxy_addr(), identity_service), None);
    client.shutdown();
    exit.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tunnel_ends_with_its_token() {
    let (server, connections) = patient();
    let room = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::new(UnixTime::from_seconds(1_800_000_000)));
    let (gateway, exit) = gateway(&room, Arc::clone(&clock) as Arc<dyn Clock>, vec![]).await;
    let dat = dat(clock.now());
    let peer = gateway.admit(dat.clone(), device().public()).await.unwrap();
    let client = connect(&peer);
    let mut near = TcpStream::connect(client.proxy_addr()).unwrap();
    write!(near, "CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\n").unwrap();
    let mut far = connections.recv_timeout(Duration::from_secs(20)).unwrap();
    // In the token's last second what is under way goes on.
    clock.set(peer.ends.start().minus(Duration::from_secs(1)));
    near.write_all(b"x").unwrap();
    far.read_exact(&mut [0]).unwrap();
    // Then it is cut off, and the same token opens nothing any more.
    clock.set(peer.ends.start());
    let error = far.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(exit.peers(), 0);
    let refused = gateway.admit(dat, device().public()).await;
    assert!(matches!(refused, Err(Refused::Expired)));
    assert_eq!(exit.peers(), 0);
    // A token that was made later opens it again.
    let later = fixture::dat(clock.now());
    gateway.admit(later, device().public()).await.unwrap();
    assert_eq!(exit.peers(), 1);
    client.shutdown();
    exit.shutdown();
}
