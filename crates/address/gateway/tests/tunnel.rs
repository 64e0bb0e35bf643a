//! A device that was let in: what it sends leaves from the address that its token names.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use coarse::{Clock as _, Secret, SystemClock};
use enclave_watch::{AttestError, Attestor, EnclaveWatch};
use gateway::Gateway;
use gateway::grants::SqliteGrants;
use jws::{KeySet, SigningKey};
use lease::{Dat, TunnelEnd};
use peer_key::PeerSecret;
use tunnel::{
    Client, ClientConfig, DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig, Limits, NeverRule,
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

use fixture::{FakeEnclave, asked, mirror, signing_key};

#[tokio::test(flavor = "multi_thread")]
async fn traffic_leaves_from_the_leased_address_and_never_to_identity_services() {
    let (server, identity_service) = (mirror(), mirror());
    let room = tempfile::tempdir().unwrap();
    let secret_key = PeerSecret::from_bytes(&Secret::new([7; 32]));
    let public_key = secret_key.public();
    let exit = ExitConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        secret_key,
        inner_address: "100.64.0.1".parse().unwrap(),
        mtu: DEFAULT_MTU,
        policy: DestinationPolicy { local: true, never: vec![NeverRule::from(identity_service)] },
        limits: Limits::default(),
        now: Arc::new(|| SystemClock.now().seconds()),
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
        vec!["127.0.77.0/24".parse().unwrap()],
        tunnel,
        Arc::new(SystemClock),
        &telemetry::Metrics::new(Arc::new(SystemClock)),
    );
    gateway.enclave().attest().await.unwrap();

    let device = PeerSecret::from_bytes(&Secret::new([1; 32]));
    let dat = Dat::new(LEASED.parse().unwrap(), "eu-1".parse().unwrap(), &device.public());
    let dat = dat.sign(&signing_key(), SystemClock.now()).unwrap();
    let peer = gateway.admit(dat, device.public()).await.unwrap();

    let client = Client::spawn(ClientConfig {
        secret_key: device,
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
    assert_eq!(asked(client.proxy_addr(), server).as_deref(), Some(LEASED));
    assert_eq!(asked(client.proxy_addr(), identity_service), None);
    client.shutdown();
    exit.shutdown();
}
