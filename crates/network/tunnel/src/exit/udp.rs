//! UDP flows of one peer: a connected host socket for each, headers rewritten by hand.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use gotatun::packet::Packet;
use mio::Token;
use mio::net::UdpSocket;

use super::Limits;
use super::host::{self, HostSockets, Owner, PeerId};
use crate::packet::{self, FlowKey, Unreachable};
use crate::policy::DestinationPolicy;

/// Datagrams that one flow may take in at a time, so that a busy one doesn't hold up the loop.
const TURN: usize = 256;

/// One peer's flows. When there are too many, the one that was idle longest goes.
pub(super) struct UdpFlows {
    peer: PeerId,
    flows: HashMap<FlowKey, Flow>,
}

struct Flow {
    socket: UdpSocket,
    token: Token,
    last_used: Instant,
    readable: bool,
}

impl UdpFlows {
    pub(super) fn new(peer: PeerId) -> Self {
        Self { peer, flows: HashMap::new() }
    }

    /// Sends a peer's datagram on from `exit`; drops what `policy` refuses, or the host.
    pub(super) fn receive(
        &mut self,
        key: FlowKey,
        payload: &[u8],
        exit: IpAddr,
        (policy, limits): (&DestinationPolicy, &Limits),
        sockets: &mut HostSockets,
        now: Instant,
    ) {
        if !self.flows.contains_key(&key) {
            let destination = SocketAddr::V4(key.destination);
            if policy.check(destination).is_err() {
                return;
            }
            if self.flows.len() >= limits.udp_flows {
                self.drop_oldest(sockets);
            }
            let Ok(mut socket) = host::connect_udp(exit, destination) else { return };
            let owner = Owner::Udp(self.peer, key);
            let Ok(token) = sockets.register(&mut socket, owner) else { return };
            self.flows.insert(key, Flow { socket, token, last_used: now, readable: false });
        }
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.last_used = now;
            // A refusal of an earlier datagram is reported by either call; reading tells the peer.
            flow.readable |= flow.socket.send(payload).is_err();
        }
    }

    /// Notes that a flow's socket has become readable.
    pub(super) fn wake(&mut self, key: &FlowKey) {
        if let Some(flow) = self.flows.get_mut(key) {
            flow.readable = true;
        }
    }

    /// Builds packets for the peer from what has come. Whether there may be more.
    pub(super) fn pump(&mut self, mtu: u16, now: Instant, mut send: impl FnMut(Packet)) -> bool {
        let mut buffer = [0; 9000];
        let mut more = false;
        for (key, flow) in self.flows.iter_mut().filter(|(_, flow)| flow.readable) {
            for _ in 0..TURN {
                let packet = match flow.socket.recv(&mut buffer) {
                    Ok(length) => packet::udp_packet(
                        key.destination,
                        key.source,
                        buffer.get(..length).unwrap_or_default(),
                        usize::from(mtu),
                    ),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        packet::unreachable_packet(packet::UDP, *key, Unreachable::Port)
                    }
                    Err(error) => {
                        flow.readable = error.kind() == io::ErrorKind::Interrupted;
                        break;
                    }
                };
                flow.last_used = now;
                if let Some(bytes) = packet {
                    send(Packet::from_bytes(bytes));
                }
            }
            more |= flow.readable;
        }
        more
    }

    /// Ends flows that have been idle for too long.
    pub(super) fn drop_idle(&mut self, limits: &Limits, sockets: &mut HostSockets, now: Instant) {
        self.flows.retain(|_, flow| {
            let live = now.saturating_duration_since(flow.last_used) < limits.udp_idle;
            if !live {
                sockets.forget(flow.token);
            }
            live
        });
    }

    fn drop_oldest(&mut self, sockets: &mut HostSockets) {
        let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.last_used).map(|(key, _)| *key);
        if let Some(flow) = oldest.and_then(|key| self.flows.remove(&key)) {
            sockets.forget(flow.token);
        }
    }

    /// Ends all flows at once.
    pub(super) fn drop_all(&mut self, sockets: &mut HostSockets) {
        for (_, flow) in self.flows.drain() {
            sockets.forget(flow.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Ipv4;
    use mio::Poll;
    use std::net::{SocketAddrV4, UdpSocket as StdUdpSocket};
    use std::time::Duration;

    const LOCAL: DestinationPolicy = DestinationPolicy { local: true, never: Vec::new() };

    fn server() -> (StdUdpSocket, SocketAddrV4) {
        let socket = StdUdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!() };
        (socket, address)
    }

    fn flow(port: u16, destination: SocketAddrV4) -> FlowKey {
        FlowKey { source: SocketAddrV4::new([100, 64, 0, 2].into(), port), destination }
    }

    struct Bench {
        flows: UdpFlows,
        sockets: HostSockets,
        limits: Limits,
        _poll: Poll,
    }

    impl Bench {
        fn new(limits: Limits) -> Self {
            let poll = Poll::new().unwrap();
            let sockets = HostSockets::new(poll.registry().try_clone().unwrap(), 0);
            Self { flows: UdpFlows::new(PeerId(1)), sockets, limits, _poll: poll }
        }

        fn send(&mut self, key: FlowKey, payload: &[u8], policy: &DestinationPolicy, now: Instant) {
            let exit = IpAddr::from([127, 0, 0, 77]);
            self.flows.receive(key, payload, exit, (policy, &self.limits), &mut self.sockets, now);
        }

        fn answer(&mut self, key: &FlowKey) -> Packet {
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut packets = Vec::new();
            while packets.is_empty() && Instant::now() < deadline {
                self.flows.wake(key);
                self.flows.pump(1420, Instant::now(), |packet| packets.push(packet));
            }
            packets.pop().unwrap()
        }
    }

    #[test]
    fn datagrams_leave_from_the_exit_and_answers_come_back() {
        let (socket, address) = server();
        let mut bench = Bench::new(Limits::default());
        let key = flow(4000, address);
        bench.send(key, b"question", &LOCAL, Instant::now());
        let mut buffer = [0; 100];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"question");
        assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 77]));

        socket.send_to(b"answer", from).unwrap();
        let packet = bench.answer(&key);
        let (back, payload) = Ipv4::parse(&packet).unwrap().udp().unwrap();
        assert_eq!(back, FlowKey { source: key.destination, destination: key.source });
        assert_eq!(payload, b"answer");
    }

    #[test]
    fn a_closed_port_is_reported() {
        let (socket, address) = server();
        drop(socket);
        let mut bench = Bench::new(Limits::default());
        let key = flow(4000, address);
        bench.send(key, b"anybody?", &LOCAL, Instant::now());
        let packet = bench.answer(&key);
        let read = Ipv4::parse(&packet).unwrap().unreachable();
        assert_eq!(read, Some((packet::UDP, key, Unreachable::Port)));
    }

    #[test]
    fn the_flow_that_was_idle_longest_makes_room() {
        let (_socket, address) = server();
        let mut bench = Bench::new(Limits { udp_flows: 2, ..Limits::default() });
        let start = Instant::now();
        for (seconds, port) in [(0, 1), (1, 2), (2, 1), (3, 3)] {
            let now = start + Duration::from_secs(seconds);
            bench.send(flow(port, address), b"x", &LOCAL, now);
        }
        let mut ports: Vec<_> = bench.flows.flows.keys().map(|key| key.source.port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 3]);

        let idle = start + Duration::from_secs(2) + bench.limits.udp_idle;
        bench.flows.drop_idle(&bench.limits, &mut bench.sockets, idle);
        let ports: Vec<_> = bench.flows.flows.keys().map(|key| key.source.port()).collect();
        assert_eq!(ports, [3]);
    }

    #[test]
    fn refused_destinations_get_no_flow() {
        let (_socket, address) = server();
        let mut bench = Bench::new(Limits::default());
        bench.send(flow(1, address), b"x", &DestinationPolicy::default(), Instant::now());
        assert!(bench.flows.flows.is_empty());
    }
}
