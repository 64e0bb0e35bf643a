//! Both ends together, in one process, on loopback.

mod control;
mod exit;
mod flows;
mod proxy;
mod raw_peer;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use peer_key::PeerSecret;

use crate::{
    Client, ClientConfig, ClientHandle, Control, DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig,
    ExitHandle, Limits, Observer, PeerGrant,
};

/// Nothing on loopback takes as long.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const INNER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const LOCAL: DestinationPolicy = DestinationPolicy { local: true, never: Vec::new() };

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Polls `check` until it holds.
pub(super) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: never");
        thread::yield_now();
    }
}

/// An exit on loopback with a clock that stands at 1000 until it is moved.
pub(super) struct TestExit {
    pub(super) handle: ExitHandle,
    pub(super) secret_key: PeerSecret,
    pub(super) former_key: PeerSecret,
    pub(super) clock: Arc<AtomicU64>,
    /// How often the loop has looked at the clock: once a turn.
    pub(super) turns: Arc<AtomicU64>,
}

impl TestExit {
    pub(super) fn new(policy: DestinationPolicy) -> Self {
        Self::observed(policy, Limits::default(), ())
    }

    pub(super) fn observed(
        policy: DestinationPolicy,
        limits: Limits,
        observer: impl Observer,
    ) -> Self {
        Self::with(policy, limits, None, observer)
    }

    pub(super) fn with(
        policy: DestinationPolicy,
        limits: Limits,
        control: Option<Control>,
        observer: impl Observer,
    ) -> Self {
        let clock = Arc::new(AtomicU64::new(1000));
        let turns = Arc::new(AtomicU64::new(0));
        let (hands, counter) = (Arc::clone(&clock), Arc::clone(&turns));
        let (secret_key, former_key) = (device(0x55), device(0x44));
        let config = ExitConfig {
            listen: loopback(0),
            secret_key: secret_key.clone(),
            former_keys: vec![former_key.clone()],
            inner_address: INNER,
            mtu: DEFAULT_MTU,
            policy,
            limits,
            control,
            now: Arc::new(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                hands.load(Ordering::SeqCst)
            }),
        };
        let handle = Exit::spawn(config, observer).unwrap();
        Self { handle, secret_key, former_key, clock, turns }
    }

    /// Lets a device in until 2000.
    pub(super) fn grant(&self, device: &PeerSecret, exit_address: impl Into<IpAddr>) {
        self.handle.add_peer(PeerGrant {
            public_key: device.public(),
            exit_address: exit_address.into(),
            expires: 2000,
        });
    }

    pub(super) fn client(&self, device: &PeerSecret) -> ClientHandle {
        Client::spawn(self.client_config(device)).unwrap()
    }

    pub(super) fn client_config(&self, device: &PeerSecret) -> ClientConfig {
        ClientConfig {
            secret_key: device.clone(),
            peer_public_key: self.secret_key.public(),
            peer_endpoint: self.handle.listen_addr(),
            inner_address: Ipv4Addr::new(100, 64, 0, 2),
            resolver: INNER,
            bind: None,
            proxy_listen: loopback(0),
            mtu: DEFAULT_MTU,
            keepalive: None,
        }
    }
}

pub(super) fn device(seed: u8) -> PeerSecret {
    PeerSecret::from_bytes(&coarse::Secret::new([seed; 32]))
}

/// An exit in local mode and a client that leaves from 127.0.0.77.
pub(super) fn pair() -> (TestExit, ClientHandle) {
    let exit = TestExit::new(LOCAL);
    let device = device(7);
    exit.grant(&device, [127, 0, 0, 77]);
    let client = exit.client(&device);
    (exit, client)
}

/// A server that hands each connection to `serve` on a thread of its own. It lives as long as the process.
pub(super) fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

/// A server that says who it sees, and then sends back what it gets until that ends.
pub(super) fn echo_server() -> SocketAddr {
    server(|mut stream| {
        let seen = stream.peer_addr().unwrap().ip().to_string();
        let mut reader = stream.try_clone().unwrap();
        if stream.write_all(format!("{seen}\n").as_bytes()).is_ok() {
            let _ = std::io::copy(&mut reader, &mut stream);
            let _ = stream.shutdown(Shutdown::Write);
        }
    })
}

/// A server that takes one connection and hands it over.
pub(super) fn one_connection() -> (SocketAddr, mpsc::Receiver<TcpStream>) {
    let (sender, receiver) = mpsc::channel();
    let address = server(move |stream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = sender.send(stream);
    });
    (address, receiver)
}

/// A port of loopback where nobody listens.
pub(super) fn closed_port() -> SocketAddr {
    TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap()
}

fn open(client: &ClientHandle) -> TcpStream {
    let stream = TcpStream::connect(client.proxy_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks for a connection by SOCKS5; the reply's code.
pub(super) fn socks(client: &ClientHandle, host: &str, port: u16) -> (TcpStream, u8) {
    let mut request = vec![5, 1, 0, 5, 1, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => request.extend([&[1][..], &ip.octets()].concat()),
        Ok(IpAddr::V6(ip)) => request.extend([&[4][..], &ip.octets()].concat()),
        Err(_) => request.extend([&[3, host.len() as u8][..], host.as_bytes()].concat()),
    }
    request.extend(port.to_be_bytes());
    let mut stream = open(client);
    stream.write_all(&request).unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..3], [5, 0, 5]);
    (stream, reply[3])
}

/// A connection by SOCKS5 that must be had.
pub(super) fn connect(client: &ClientHandle, to: SocketAddr) -> TcpStream {
    let (stream, code) = socks(client, &to.ip().to_string(), to.port());
    assert_eq!(code, 0);
    stream
}

/// Asks for a connection by HTTP CONNECT; the response's head.
pub(super) fn http(client: &ClientHandle, head: &str) -> (TcpStream, String) {
    let mut stream = open(client);
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        response.push(byte[0]);
    }
    (stream, String::from_utf8(response).unwrap())
}

pub(super) fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}
