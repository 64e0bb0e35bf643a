//! A stock WireGuard client at our gateway and at our exit.
//!
//! The client is in a network namespace of its own. Beside the tunnel it has only a cable to this host, on which the
//! gateway takes WireGuard's datagrams; the web server is at another address, where nothing but the tunnel leads.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use endtoend::eventually;
use endtoend::program::User;
use endtoend::scene::Scene;
use interop::namespace::Namespace;
use interop::web::{WebServer, told};
use interop::wireguard::StockClient;
use peer_key::PeerSecret;
use tunnel::{DestinationPolicy, Exit, ExitConfig, Limits, PeerGrant, QuickConfig};

/// Some megabytes, no two kilobytes of them alike.
#[cfg(test)]
fn megabytes() -> Vec<u8> {
    (0..2_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
}

/// `cloakroom dip export` writes a file; the client comes up from it as it is. Then TCP both ways, UDP and names
/// work, and whoever is spoken to sees the dedicated address. Without the tunnel none of it is reached.
#[test]
fn a_stock_client_leaves_from_the_dedicated_address() {
    let namespace = Namespace::open().unwrap();
    let scene = Scene::with_tunnels_at(namespace.host()).unwrap();
    let web = WebServer::start(namespace.beyond(), megabytes()).unwrap();
    let user = User::logged_in(&scene).unwrap();
    let leased = user.assign().unwrap().json().unwrap();
    let dedicated: IpAddr = leased["dedicated_ip"].as_str().unwrap().parse().unwrap();
    let file = user.home().join("wg0.conf");
    user.run(&["dip", "export", "--out", file.to_str().unwrap()]).unwrap();
    assert!(see(&namespace, &web).is_err());
    assert!(namespace.run("getent", ["ahostsv4", "localhost"]).is_err());

    let client = StockClient::up(&namespace, &file).unwrap();
    assert_eq!(see(&namespace, &web).unwrap(), dedicated);
    assert!(client.last_handshake().unwrap() > 0);

    let got = namespace.run("curl", curl(&web.url("/bytes"))).unwrap();
    assert!(got == megabytes(), "{} bytes", got.len());
    let file = user.home().join("bytes");
    std::fs::write(&file, megabytes()).unwrap();
    let upload = curl(&web.url("/bytes")).into_iter().chain(["-T".into(), path(&file)]);
    assert_eq!(namespace.run("curl", upload).unwrap(), b"equal");

    // What is asked from inside needs nothing of ours either.
    let listed = namespace.run("curl", curl("http://100.64.0.1:3006/api/v1/devices")).unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed["devices"][0]["this"], true);
    assert_eq!(listed["devices"].as_array().map(Vec::len), Some(1));

    let echo = UdpSocket::bind((namespace.beyond(), 0)).unwrap();
    assert_eq!(datagram(&namespace, &echo).unwrap(), dedicated);

    let found = namespace.run("getent", ["ahostsv4", "localhost"]).unwrap();
    let found = String::from_utf8(found).unwrap();
    assert!(found.starts_with("127.0.0.1 "), "{found}");
    assert!(namespace.run("getent", ["ahostsv4", "nobody.invalid"]).is_err());
}

/// The exit alone, with a clock of the test's: the tunnel ends when its grant does, goes on when that is extended,
/// moves when it says another address, and ends when it is taken away.
#[test]
fn a_stock_clients_tunnel_ends_with_its_grant() {
    let namespace = Namespace::open().unwrap();
    let web = WebServer::start(namespace.beyond(), vec![]).unwrap();
    let (secret, device) = (secret(1), secret(2));
    let clock = Arc::new(AtomicU64::new(1000));
    let now = Arc::clone(&clock);
    let inner_address = Ipv4Addr::new(100, 64, 0, 1);
    let config = ExitConfig {
        listen: (namespace.host(), 0).into(),
        secret_key: secret.clone(),
        former_keys: vec![],
        inner_address,
        mtu: tunnel::DEFAULT_MTU,
        policy: DestinationPolicy { local: true, never: vec![] },
        limits: Limits::default(),
        control: None,
        now: Arc::new(move || now.load(Ordering::SeqCst)),
    };
    let exit = Exit::spawn(config, ()).unwrap();
    let text = tunnel::wg_quick_config(&QuickConfig {
        secret_key: &device,
        inner_address: Ipv4Addr::new(100, 64, 0, 2),
        resolver: inner_address.into(),
        mtu: tunnel::DEFAULT_MTU,
        peer_public_key: secret.public(),
        peer_endpoint: exit.listen_addr(),
        keepalive: None,
    });
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("wg0.conf");
    std::fs::write(&file, &*text).unwrap();
    let client = StockClient::up(&namespace, &file).unwrap();
    let grant = |address: [u8; 4], expires| {
        exit.add_peer(PeerGrant {
            public_key: device.public(),
            exit_address: address.into(),
            expires,
        });
    };

    assert!(see(&namespace, &web).is_err());
    assert_eq!(client.last_handshake().unwrap(), 0);

    grant([127, 77, 0, 5], 2000);
    eventually_sees(&namespace, &web, [127, 77, 0, 5]);
    clock.store(2000, Ordering::SeqCst);
    assert!(see(&namespace, &web).is_err());

    grant([127, 77, 0, 5], 3000);
    eventually_sees(&namespace, &web, [127, 77, 0, 5]);
    grant([127, 77, 0, 6], 3000);
    eventually_sees(&namespace, &web, [127, 77, 0, 6]);

    exit.remove_peer(&device.public());
    assert!(see(&namespace, &web).is_err());
}

/// Which address the web server sees.
#[cfg(test)]
fn see(namespace: &Namespace, web: &WebServer) -> Result<IpAddr> {
    told(&namespace.run("curl", curl(&web.url("/")))?)
}

#[cfg(test)]
fn eventually_sees(namespace: &Namespace, web: &WebServer, address: [u8; 4]) {
    eventually(|| {
        let seen = see(namespace, web)?;
        ensure!(seen == IpAddr::from(address), "{seen} instead");
        Ok(())
    })
    .unwrap();
}

#[cfg(test)]
fn curl(url: &str) -> Vec<String> {
    let arguments = ["--silent", "--show-error", "--fail", "--connect-timeout", "3", url];
    arguments.map(str::to_owned).to_vec()
}

/// Sends a datagram from inside to `there`, which answers it: from which address it came.
#[cfg(test)]
fn datagram(namespace: &Namespace, there: &UdpSocket) -> Result<IpAddr> {
    const PATIENCE: Option<Duration> = Some(Duration::from_secs(5));
    let to: SocketAddr = there.local_addr()?;
    there.set_read_timeout(PATIENCE)?;
    let here = namespace.inside(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    here.set_read_timeout(PATIENCE)?;
    here.send_to(b"to there", to)?;
    let mut buffer = [0; 64];
    let (length, from) = there.recv_from(&mut buffer)?;
    ensure!(buffer.get(..length) == Some(b"to there"), "other bytes");
    there.send_to(b"and back", from)?;
    let (length, answered) = here.recv_from(&mut buffer)?;
    ensure!(buffer.get(..length) == Some(b"and back") && answered == to, "another answer");
    Ok(from.ip())
}

#[cfg(test)]
fn secret(byte: u8) -> PeerSecret {
    PeerSecret::from_bytes(&coarse::Secret::new([byte; 32]))
}

#[cfg(test)]
fn path(path: &Path) -> String {
    path.display().to_string()
}
