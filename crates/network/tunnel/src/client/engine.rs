//! The client's loop: the proxy on one side, the tunnel on the other.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gotatun::noise::index_table::IndexTable;
use gotatun::noise::rate_limiter::RateLimiter;
use gotatun::noise::{Tunn, TunnResult};
use gotatun::packet::Packet;
use gotatun::tun::MtuWatcher;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use super::connection::{Connection, Wish};
use super::names::Lookups;
use super::target::{Failure, Host, Target};
use super::{ClientConfig, Report, Shared};
use crate::error::TunnelError;
use crate::keys::ToX25519 as _;
use crate::outer::{Datagram, OuterSocket};
use crate::packet::{FlowKey, Ipv4, TCP};
use crate::stack::Stack;

const OUTER: Token = Token(0);
const LISTENER: Token = Token(1);
const WAKER: Token = Token(2);
const FIRST_CONNECTION: usize = 3;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Connections at a time; further ones are closed at once.
const CONNECTIONS: usize = 512;
/// Bytes that a connection may hold on its way, for either direction.
const BUFFER: usize = 256 << 10;
/// Batches of datagrams that are taken in before the connections get to work.
const BATCHES: usize = 8;
/// The exit is the only one to make handshakes with, so few are expected.
const HANDSHAKES_PER_SECOND: u64 = 20;
/// Our ports inside the tunnel (RFC 6335, dynamic ports).
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

pub(super) struct Engine {
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    poll: Poll,
    outer: OuterSocket,
    listener: TcpListener,
    proxy_addr: SocketAddr,
    exit: SocketAddr,
    inner_address: Ipv4Addr,
    mtu: u16,
    keepalive: bool,
    tunn: Tunn,
    limiter: Arc<RateLimiter>,
    stack: Stack,
    lookups: Lookups<Token>,
    connections: HashMap<Token, Connection>,
    /// Whose port inside the tunnel is whose.
    ports: HashMap<u16, Token>,
    next_port: u16,
    next_token: usize,
    outgoing: Vec<Datagram>,
}

impl Engine {
    pub(super) fn new(config: &ClientConfig, shared: Arc<Shared>) -> Result<Self, TunnelError> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let any = match config.peer_endpoint {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let bind = SocketAddr::new(config.bind.unwrap_or(any), 0);
        let outer = OuterSocket::bind(bind, poll.registry(), OUTER)
            .map_err(|source| TunnelError::Listen { address: bind, source })?;
        let in_use = |source| TunnelError::Listen { address: config.proxy_listen, source };
        let mut listener = TcpListener::bind(config.proxy_listen).map_err(in_use)?;
        let proxy_addr = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let public = config.secret_key.public().to_x25519();
        let limiter = Arc::new(RateLimiter::new(&public, HANDSHAKES_PER_SECOND));
        let tunn = Tunn::new(
            config.secret_key.to_x25519(),
            config.peer_public_key.to_x25519(),
            None,
            config.keepalive,
            IndexTable::from_os_rng(),
            Arc::clone(&limiter),
        );
        let (low, high) = (*PORTS.start(), *PORTS.end());
        Ok(Self {
            shared,
            waker,
            poll,
            outer,
            listener,
            proxy_addr,
            exit: config.peer_endpoint,
            inner_address: config.inner_address,
            mtu: config.mtu,
            keepalive: config.keepalive.is_some_and(|seconds| seconds > 0),
            tunn,
            limiter,
            stack: Stack::new(config.inner_address, false, config.mtu, Instant::now())?,
            lookups: Lookups::new(config.inner_address, config.resolver, config.mtu),
            connections: HashMap::new(),
            ports: HashMap::new(),
            // The exit may still remember flows of a client that used this key before.
            next_port: low
                + (getrandom::u32().map_err(io::Error::from)? % u32::from(high - low)) as u16,
            next_token: FIRST_CONNECTION,
            outgoing: Vec::new(),
        })
    }

    pub(super) const fn proxy_addr(&self) -> SocketAddr {
        self.proxy_addr
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Runs until told to stop.
    pub(super) fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        let mut received = Vec::new();
        let mut next_tick = Instant::now();
        let mut more = false;
        while !self.shared.stopping.load(Ordering::SeqCst) {
            let patience = if more { Duration::ZERO } else { self.patience(next_tick) };
            match self.poll.poll(&mut events, Some(patience)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "the client can't wait for events");
                    break;
                }
            }
            let now = Instant::now();
            for event in &events {
                if let Some(connection) = self.connections.get_mut(&event.token()) {
                    connection.wake(event);
                }
            }
            self.accept(now);
            more = self.receive(&mut received, now);
            self.pump(now);
            if self.shared.handshake_wanted.swap(false, Ordering::SeqCst) {
                self.want_handshake();
            }
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(now);
            }
            self.outer.send(&mut self.outgoing);
            self.report(now, false);
        }
        for (_, connection) in self.connections.drain() {
            connection.end();
        }
        self.report(Instant::now(), true);
    }

    fn patience(&mut self, next_tick: Instant) -> Duration {
        let now = Instant::now();
        let tick = next_tick.saturating_duration_since(now);
        // Without connections the stack has nothing to do.
        match self.ports.is_empty() {
            true => tick,
            false => self.stack.idle_for(now).map_or(tick, |idle| idle.min(tick)),
        }
    }

    fn accept(&mut self, now: Instant) {
        // An error (too many open files, say) passes; the next turn tries again.
        while let Ok((mut stream, _)) = self.listener.accept() {
            if self.connections.len() >= CONNECTIONS {
                continue;
            }
            let token = Token(self.next_token);
            self.next_token += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, token, interest).is_ok() {
                self.connections.insert(token, Connection::new(stream, now));
            }
        }
    }

    /// Takes in what has come from the exit. Whether there may be more.
    fn receive(&mut self, received: &mut Vec<Datagram>, now: Instant) -> bool {
        let mut more = true;
        for _ in 0..BATCHES {
            more = more && self.outer.receive(received);
        }
        for (datagram, source) in received.drain(..) {
            if source != self.exit {
                continue;
            }
            let Ok(packet) = self.limiter.verify_packet(source, datagram) else { continue };
            match self.tunn.handle_incoming_packet(packet) {
                TunnResult::WriteToNetwork(answer) => {
                    self.outgoing.push((answer.into(), self.exit));
                    let mut mtu = MtuWatcher::new(self.mtu);
                    let queued = self.tunn.get_queued_packets(&mut mtu);
                    let exit = self.exit;
                    self.outgoing.extend(queued.map(|packet| (packet.into(), exit)));
                }
                TunnResult::WriteToTunnel(inner) => self.receive_inner(inner, now),
                TunnResult::Done | TunnResult::Err(_) => {}
            }
        }
        more
    }

    fn receive_inner(&mut self, inner: Packet, now: Instant) {
        let Some(ip) = Ipv4::parse(&inner) else { return };
        if ip.protocol == TCP {
            self.stack.receive(inner, now);
        } else if let Some((flow, payload)) = ip.udp() {
            if let Some((owner, outcome)) = self.lookups.receive(flow, payload) {
                self.resolved(owner, outcome.map(VecDeque::from), now);
            }
        } else if let Some((TCP, flow, _)) = ip.unreachable() {
            self.unreachable(flow, now);
        }
    }

    fn resolved(
        &mut self,
        token: Token,
        outcome: Result<VecDeque<Ipv4Addr>, Failure>,
        now: Instant,
    ) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let Some(port) = connection.resolving_port() else { return };
        match outcome {
            Ok(addresses) => self.connect(token, addresses, port, now),
            Err(failure) => connection.refuse(failure, now),
        }
    }

    fn unreachable(&mut self, flow: FlowKey, now: Instant) {
        let Some(&token) = self.ports.get(&flow.source.port()) else { return };
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if connection.is_connecting() {
            self.ports.remove(&flow.source.port());
            let wish = connection.address_failed(Failure::Unreachable, &mut self.stack, now);
            self.grant(token, wish, now);
        }
    }

    /// Moves what can be moved, and sends what comes of it.
    fn pump(&mut self, now: Instant) {
        loop {
            self.stack.transmit(now);
            let packets: Vec<_> = self.stack.take_packets().collect();
            for packet in packets {
                self.send(packet);
            }
            if self.stack.is_broken() {
                self.replace_stack(now);
            }
            let mut moved = false;
            let mut wishes = Vec::new();
            for (&token, connection) in &mut self.connections {
                let (changed, wish) = connection.advance(&mut self.stack, now);
                moved |= changed;
                if !matches!(wish, Wish::Nothing) {
                    wishes.push((token, wish));
                }
            }
            for (token, wish) in wishes {
                self.grant(token, wish, now);
                moved = true;
            }
            self.drop_gone();
            if !moved {
                break;
            }
        }
    }

    fn grant(&mut self, token: Token, wish: Wish, now: Instant) {
        match wish {
            Wish::Nothing => {}
            Wish::Retry(addresses, port) => self.connect(token, addresses, port, now),
            Wish::Connect(Target { host: Host::Address(address), port }) => {
                self.connect(token, VecDeque::from([address]), port, now);
            }
            Wish::Connect(Target { host: Host::Name(name), port }) => {
                let Some(connection) = self.connections.get_mut(&token) else { return };
                match self.lookups.start(token, &name, now) {
                    Ok(packet) => {
                        connection.resolving(port, now);
                        self.send(Packet::from_bytes(packet));
                    }
                    Err(failure) => connection.refuse(failure, now),
                }
            }
        }
    }

    /// Connects to the first of `addresses`.
    fn connect(
        &mut self,
        token: Token,
        mut addresses: VecDeque<Ipv4Addr>,
        port: u16,
        now: Instant,
    ) {
        let local_port = self.free_port();
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let Some(address) = addresses.pop_front() else {
            return connection.refuse(Failure::NameNotFound, now);
        };
        let Some(local_port) = local_port else { return connection.refuse(Failure::Busy, now) };
        let source = SocketAddrV4::new(self.inner_address, local_port);
        let destination = SocketAddrV4::new(address, port);
        match self.stack.connect(source, destination, BUFFER) {
            Some(handle) => {
                self.ports.insert(local_port, token);
                connection.connecting(handle, local_port, addresses, port, now);
            }
            None => connection.refuse(Failure::Unreachable, now),
        }
    }

    /// The next port inside the tunnel that no connection has.
    fn free_port(&mut self) -> Option<u16> {
        for _ in PORTS {
            let port = self.next_port;
            self.next_port = if port == *PORTS.end() { *PORTS.start() } else { port + 1 };
            if !self.ports.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }

    fn drop_gone(&mut self) {
        for (_, connection) in self.connections.extract_if(|_, connection| connection.is_gone()) {
            connection.end();
        }
        // Ports of connections that have left the stack are free again.
        let connections = &self.connections;
        self.ports.retain(|port, token| {
            connections
                .get(token)
                .and_then(Connection::socket)
                .is_some_and(|(_, local_port)| local_port == *port)
        });
    }

    fn replace_stack(&mut self, now: Instant) {
        tracing::warn!("a packet has upset the TCP stack; its connections are lost");
        // Without randomness the broken stack stays, and everything on it fails.
        if let Ok(stack) = Stack::new(self.inner_address, false, self.mtu, now) {
            self.stack = stack;
            for connection in self.connections.values_mut() {
                connection.stack_lost(now);
            }
        }
    }

    fn want_handshake(&mut self) {
        if self.tunn.time_since_last_handshake().is_none()
            && let Some(packet) = self.tunn.format_handshake_initiation(false)
        {
            self.outgoing.push((packet.into(), self.exit));
        }
    }

    fn tick(&mut self, now: Instant) {
        match self.tunn.update_timers() {
            Ok(Some(packet)) => self.outgoing.push((packet.into(), self.exit)),
            Ok(None) => {}
            // The tunnel has been given up; one that is to be kept alive tries again.
            Err(_) if self.keepalive => self.want_handshake(),
            Err(_) => {}
        }
        let (again, given_up) = self.lookups.tick(now);
        for packet in again {
            self.send(Packet::from_bytes(packet));
        }
        let tunnel = self.tunn.time_since_last_handshake().is_some();
        let failure = if tunnel { Failure::Resolver } else { Failure::NoTunnel };
        for token in given_up {
            self.resolved(token, Err(failure), now);
        }
        for connection in self.connections.values_mut() {
            connection.check_deadline(tunnel, &mut self.stack, now);
        }
        self.drop_gone();
    }

    fn send(&mut self, packet: Packet) {
        let mut mtu = MtuWatcher::new(self.mtu);
        if let Some(packet) = self.tunn.handle_outgoing_packet(packet, Some(&mut mtu)) {
            self.outgoing.push((packet.into(), self.exit));
        }
    }

    fn report(&self, now: Instant, ended: bool) {
        let (age, sent, received, ..) = self.tunn.stats();
        let open_flows = self.connections.values().filter(|c| c.is_relaying()).count();
        *self.shared.report() = Report {
            last_handshake: age.map(|age| now.checked_sub(age).unwrap_or(now)),
            sent: sent as u64,
            received: received as u64,
            open_flows,
            ended,
        };
        self.shared.reported.notify_all();
    }
}
