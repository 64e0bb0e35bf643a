//! Through a gateway to a web server.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_api::{INSIDE_PORT, Peer};
use peer_key::PeerSecret;
use tunnel::{Client, ClientConfig, ClientHandle};

use crate::eventually;

/// How long the network may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// SOCKS5's word for a connection that stands (RFC 1928 section 6).
pub const CONNECTED: u8 = 0;
/// And for one that the exit refuses to make.
pub const REFUSED: u8 = 5;

/// Opens a tunnel as a device that the gateway has let in.
///
/// # Errors
/// When there is no handshake.
pub fn open(device: &PeerSecret, peer: &Peer) -> Result<ClientHandle> {
    let end = &peer.tunnel;
    let tunnel = Client::spawn(ClientConfig {
        secret_key: device.clone(),
        peer_public_key: end.public_key,
        peer_endpoint: end.endpoint,
        inner_address: end.inner_address,
        resolver: end.resolver,
        bind: None,
        proxy_listen: (Ipv4Addr::LOCALHOST, 0).into(),
        mtu: tunnel::DEFAULT_MTU,
        keepalive: None,
    })?;
    tunnel.wait_connected(PATIENCE)?;
    Ok(tunnel)
}

/// Asks a SOCKS5 proxy for a connection: the stream, and the proxy's word on it.
///
/// # Errors
/// When the proxy isn't there.
pub fn connect(proxy: SocketAddr, to: SocketAddr) -> Result<(TcpStream, u8)> {
    let mut stream = TcpStream::connect_timeout(&proxy, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[5, 1, 0])?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen)?;
    ensure!(chosen == [5, 0], "not a proxy without a password");
    let IpAddr::V4(host) = to.ip() else { anyhow::bail!("not an IPv4 address") };
    let mut request = vec![5, 1, 0, 1];
    request.extend(host.octets());
    request.extend(to.port().to_be_bytes());
    stream.write_all(&request)?;
    let mut reply = [0; 10];
    stream.read_exact(&mut reply)?;
    let [_, code, ..] = reply;
    Ok((stream, code))
}

/// Where the gateway is asked from inside the tunnel of a device that it has let in.
#[must_use]
pub fn inside(peer: &Peer) -> SocketAddr {
    (peer.tunnel.resolver, INSIDE_PORT).into()
}

/// A door on loopback that leads through a tunnel's proxy to `to`, for what knows addresses only. It stays open as long as the
/// process lives.
///
/// # Errors
/// When there is no port for it.
pub fn door(proxy: SocketAddr, to: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            thread::spawn(move || lead_through(near, proxy, to));
        }
    });
    Ok(address)
}

/// Carries a connection on until both sides have said all. Whoever opened it hears the rest from its other end.
fn lead_through(near: TcpStream, proxy: SocketAddr, to: SocketAddr) -> Result<()> {
    // The gateway takes few connections of one device at a time; a former one may not have come to its end yet.
    let far = eventually(|| {
        let (far, code) = connect(proxy, to)?;
        ensure!(code == CONNECTED, "the proxy refused with {code}");
        Ok(far)
    })?;
    far.set_read_timeout(None)?;
    let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
    let back = thread::spawn(move || carry(&far_too, &near_too));
    carry(&near, &far);
    let _ = back.join();
    Ok(())
}

fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// The address that the web server sees when it is asked through a proxy.
///
/// # Errors
/// When it can't be asked.
pub fn seen(proxy: SocketAddr, web: SocketAddr) -> Result<IpAddr> {
    let (mut stream, code) = connect(proxy, web)?;
    ensure!(code == CONNECTED, "the proxy refused with {code}");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let told = answer.lines().last().context("no answer")?;
    told.trim().parse().with_context(|| answer.clone())
}
