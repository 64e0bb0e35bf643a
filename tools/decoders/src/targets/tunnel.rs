//! A running exit, sent what a stranger or a peer may send: afterwards it must still serve the peer.
//!
//! Input: pieces, each a byte that says what it is and then its content: a datagram of a stranger; an inner packet, sent
//! through the peer's tunnel; a handshake's first message, spoilt at the places that the content names; a sealed
//! packet, spoilt likewise. No flow is opened but to the exit itself (every destination is refused), and no name is looked up.

use std::net::UdpSocket;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gotatun::noise::index_table::IndexTable;
use gotatun::noise::rate_limiter::RateLimiter;
use gotatun::noise::{Tunn, TunnResult};
use gotatun::packet::Packet;
use gotatun::x25519;
use tunnel::reading::{Content, Question, datagram, inner, question};
use tunnel::{
    Control, DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig, ExitHandle, Limits, Network,
    NeverRule, PeerGrant,
};

use super::{dns, packets};
use crate::fixture;
use crate::input::{byte, joined, pieces, tagged};

/// When an answer is waited for no longer, and asked for again.
const RETRY: Duration = Duration::from_millis(250);
/// When the exit is given up for dead.
const DEADLINE: Duration = Duration::from_secs(30);
/// Where flows to the exit itself are taken in, and hung up on.
const CONTROL_PORT: u16 = 3006;
/// Pieces of one input.
const MOST: usize = 12;

static BENCH: LazyLock<Mutex<Bench>> = LazyLock::new(|| Mutex::new(Bench::new()));

/// Sends the pieces, then asks the exit something.
pub(crate) fn check(input: &[u8]) {
    let mut bench = BENCH.lock().unwrap_or_else(PoisonError::into_inner);
    for piece in pieces(input).into_iter().take(MOST) {
        let Some((kind, content)) = byte(piece) else { continue };
        match kind % 4 {
            0 => bench.send(content),
            1 => bench.send_inner(content),
            2 => {
                let initiation = bench.initiation();
                bench.send(&spoilt(initiation, content));
            }
            _ => {
                let probe = probe(0);
                if let Some(sealed) = bench.sealed(&probe) {
                    bench.send(&spoilt(sealed, content));
                }
            }
        }
    }
    bench.must_answer();
}

/// `bytes` with the places that `changes` names (place, other value) changed.
fn spoilt(mut bytes: Vec<u8>, changes: &[u8]) -> Vec<u8> {
    for change in changes.chunks_exact(2) {
        let place = usize::from(change[0]) % bytes.len();
        bytes[place] ^= change[1];
    }
    bytes
}

/// A question that is answered without a lookup.
fn probe(number: u16) -> Vec<u8> {
    let message = dns::asking(number, "probe.invalid", 1);
    datagram(packets::flow(53), &message, 1420).expect("it fits")
}

struct Bench {
    exit: ExitHandle,
    socket: UdpSocket,
    tunn: Tunn,
    number: u16,
}

impl Bench {
    fn new() -> Self {
        let everything = "0.0.0.0/0".parse::<Network>().expect("a network");
        let config = ExitConfig {
            listen: "127.0.0.1:0".parse().expect("an address"),
            secret_key: exit_secret(),
            former_keys: vec![],
            inner_address: *packets::flow(53).destination.ip(),
            mtu: DEFAULT_MTU,
            policy: DestinationPolicy { local: false, never: vec![NeverRule::from(everything)] },
            limits: Limits {
                handshakes_per_second: u64::from(u32::MAX),
                handshakes_in_all: u64::from(u32::MAX),
                ..Limits::default()
            },
            control: Some(Control { port: CONTROL_PORT, take: Box::new(|_| true) }),
            now: Arc::new(|| 1000),
        };
        let exit = Exit::spawn(config, ()).expect("loopback has a port");
        exit.add_peer(PeerGrant {
            public_key: fixture::device(),
            exit_address: [127, 0, 0, 77].into(),
            expires: 2000,
        });
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a port");
        socket.set_read_timeout(Some(RETRY)).expect("a socket has a patience");
        Self { exit, socket, tunn: tunn(), number: 0 }
    }

    fn send(&self, datagram: &[u8]) {
        // More than the system sends at once is no datagram.
        let _ = self.socket.send_to(datagram, self.exit.listen_addr());
    }

    fn send_inner(&mut self, packet: &[u8]) {
        // Names that would be looked up would go to this machine's resolver.
        if let Some(Content::Udp(flow, payload)) = inner(packet).map(|it| it.content)
            && flow.destination.port() == 53
            && matches!(question(payload), Question::Lookup(_))
        {
            return;
        }
        if let Some(sealed) = self.sealed(packet) {
            self.send(&sealed);
        }
    }

    /// A packet sealed in the peer's session; nothing while there is none.
    fn sealed(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let packet = Packet::from_bytes(BytesMut::from(packet));
        let sealed = self.tunn.encapsulate_with_session(packet).ok()?;
        Some(Packet::<[u8]>::from(sealed).to_vec())
    }

    fn initiation(&mut self) -> Vec<u8> {
        let message = tunn().format_handshake_initiation(true).expect("a fresh tunnel begins");
        Packet::<[u8]>::from(message).to_vec()
    }

    /// Asks until an answer comes, by a new handshake if it must be.
    fn must_answer(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.number = self.number.wrapping_add(1);
            let probe = probe(self.number);
            if let Some(sealed) = self.sealed(&probe) {
                self.send(&sealed);
                if self.hears(self.number) {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "the exit serves its peer no more");
            self.handshake();
        }
    }

    /// Whether the answer of this number comes within a patience.
    fn hears(&mut self, number: u16) -> bool {
        let deadline = Instant::now() + RETRY;
        while Instant::now() < deadline {
            let Some(TunnResult::WriteToTunnel(packet)) = self.receive() else { continue };
            if let Some(Content::Udp(flow, message)) = inner(&packet).map(|it| it.content)
                && flow.source == packets::flow(53).destination
                && message.get(..2) == Some(&number.to_be_bytes())
            {
                return true;
            }
        }
        false
    }

    fn handshake(&mut self) {
        self.tunn = tunn();
        let message = self.tunn.format_handshake_initiation(true).expect("a fresh tunnel begins");
        self.send(&Packet::<[u8]>::from(message));
        let deadline = Instant::now() + RETRY;
        while Instant::now() < deadline {
            if let Some(TunnResult::WriteToNetwork(keepalive)) = self.receive() {
                return self.send(&Packet::<[u8]>::from(keepalive));
            }
        }
    }

    /// The next datagram that comes, through the tunnel.
    fn receive(&mut self) -> Option<TunnResult> {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).ok()?;
        let packet = Packet::from_bytes(BytesMut::from(&buffer[..length]));
        Some(self.tunn.handle_incoming_packet(packet.try_into_wg().ok()?))
    }
}

fn exit_secret() -> peer_key::PeerSecret {
    peer_key::PeerSecret::from_bytes(&coarse::Secret::new([0x55; 32]))
}

/// The peer's end of a tunnel.
fn tunn() -> Tunn {
    let public = x25519::PublicKey::from(*fixture::device().bytes());
    Tunn::new(
        x25519::StaticSecret::from(*fixture::device_secret().expose()),
        x25519::PublicKey::from(*exit_secret().public().bytes()),
        None,
        None,
        IndexTable::from_os_rng(),
        Arc::new(RateLimiter::new(&public, u64::from(u32::MAX))),
    )
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let asked = |name, kind| {
        datagram(packets::flow(53), &dns::asking(7, name, kind), 1420).expect("it fits")
    };
    let opening = packets::opening();
    let mut to_the_exit = opening.clone();
    to_the_exit[22..24].copy_from_slice(&CONTROL_PORT.to_be_bytes());
    let mut away = opening.clone();
    away[16..20].copy_from_slice(&[192, 0, 2, 1]);
    let mut data = opening.clone();
    data[33] = 0x10;
    let all: [Vec<u8>; 10] = [
        tagged(0, b"hello"),
        tagged(0, [&[1, 0, 0, 0][..], &[7; 144]].concat()),
        tagged(0, [&[4, 0, 0, 0][..], &[7; 60]].concat()),
        tagged(1, asked("a.invalid", 1)),
        tagged(1, asked("a.onion", 28)),
        tagged(1, opening),
        tagged(1, to_the_exit),
        tagged(1, away),
        tagged(2, [20, 1]),
        tagged(3, [16, 1, 40, 2]),
    ];
    let mut seeds: Vec<Vec<u8>> = all.iter().map(|piece| joined(&[piece])).collect();
    let pieces: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    seeds.push(joined(&pieces));
    seeds.push(joined(&[&tagged(1, data), &tagged(1, [0x60; 40]), &tagged(2, [])]));
    seeds
}
