//! One peer of an exit: its tunnel, its flows, and what they may do.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gotatun::noise::index_table::IndexTable;
use gotatun::noise::{Tunn, TunnResult};
use gotatun::packet::{Packet, WgKind};
use gotatun::tun::MtuWatcher;
use mio::event::Event;

use super::dns::{self, Resolver};
use super::gate::Door;
use super::grants::PeerGrant;
use super::host::{HostSockets, PeerId};
use super::tcp::{TcpFlows, Way};
use super::udp::UdpFlows;
use super::{ExitConfig, Observer};
use crate::keys::ToX25519 as _;
use crate::outer::Datagram;
use crate::packet::{FlowKey, Ipv4, TCP, TcpOpening, UDP, udp_packet};

/// Session numbers that a peer may have in use: eight sessions and a handshake, and some to spare.
const SESSIONS: usize = 16;

/// What a peer's packets need beside the peer.
pub(super) struct Shared<'a> {
    pub(super) config: &'a ExitConfig,
    pub(super) sockets: &'a mut HostSockets,
    pub(super) resolver: &'a mut Resolver,
    pub(super) wire: &'a mut Wire,
    pub(super) now: Instant,
}

/// The way out, and the way back in.
#[derive(Default)]
pub(super) struct Wire {
    /// Datagrams to send at the end of the turn.
    pub(super) outgoing: Vec<Datagram>,
    /// Whose session a number in a packet means.
    pub(super) routes: HashMap<u32, PeerId>,
}

/// A peer that has made a handshake.
pub(super) struct Peer {
    id: PeerId,
    grant: PeerGrant,
    tunn: Tunn,
    /// Where the last authenticated packet came from.
    endpoint: Option<SocketAddr>,
    /// Numbers by which the peer's packets name their session, oldest first.
    sessions: VecDeque<u32>,
    tcp: Option<TcpFlows>,
    udp: UdpFlows,
}

impl Peer {
    pub(super) fn new(id: PeerId, grant: PeerGrant, door: &Door, indices: &IndexTable) -> Self {
        let tunn = Tunn::new(
            door.secret.clone(),
            grant.public_key.to_x25519(),
            None,
            None,
            indices.clone(),
            Arc::clone(&door.lenient),
        );
        let udp = UdpFlows::new(id);
        Self { id, grant, tunn, endpoint: None, sessions: VecDeque::new(), tcp: None, udp }
    }

    pub(super) const fn grant(&self) -> &PeerGrant {
        &self.grant
    }

    /// Puts another grant for the same key in force. Flows that leave from another address end.
    pub(super) fn set_grant(&mut self, grant: PeerGrant, sockets: &mut HostSockets) {
        if grant.exit_address != self.grant.exit_address {
            self.drop_flows(sockets);
        }
        self.grant = grant;
    }

    /// Takes in a packet of the tunnel that came from `source`.
    pub(super) fn receive(
        &mut self,
        packet: WgKind,
        source: SocketAddr,
        shared: &mut Shared<'_>,
        observer: &mut impl Observer,
    ) {
        match self.tunn.handle_incoming_packet(packet) {
            TunnResult::WriteToNetwork(answer) => {
                self.endpoint = Some(source);
                self.send(answer, shared.wire);
                let mut mtu = MtuWatcher::new(shared.config.mtu);
                let queued: Vec<_> = self.tunn.get_queued_packets(&mut mtu).collect();
                for packet in queued {
                    self.send(packet, shared.wire);
                }
            }
            TunnResult::WriteToTunnel(inner) => {
                self.endpoint = Some(source);
                // A keepalive is empty.
                if !inner.is_empty() {
                    self.receive_inner(inner, shared, observer);
                }
            }
            TunnResult::Done | TunnResult::Err(_) => {}
        }
    }

    fn receive_inner(
        &mut self,
        mut inner: Packet,
        shared: &mut Shared<'_>,
        observer: &mut impl Observer,
    ) {
        // The tunnel pads packets to hide their length.
        let length = match inner.as_ref() {
            [_, _, t0, t1, ..] => usize::from(u16::from_be_bytes([*t0, *t1])),
            _ => 0,
        };
        let Some(ip) = Ipv4::parse(&inner) else { return observer.inner_packet(&inner) };
        let (to_exit, protocol) = (ip.destination == shared.config.inner_address, ip.protocol);
        let (tcp, udp) = (ip.tcp(), ip.udp());
        let rules = (&shared.config.policy, &shared.config.limits);
        observer.inner_packet(inner.get(..length).unwrap_or(&inner));
        match protocol {
            UDP => match udp {
                Some((flow, question)) if to_exit && flow.destination.port() == dns::PORT => {
                    let answer = shared.resolver.ask(self.id, flow, question, shared.now);
                    if let Some(message) = answer {
                        self.answer(flow, &message, shared);
                    }
                }
                Some((flow, payload)) if !to_exit => {
                    let exit = self.grant.exit_address;
                    self.udp.receive(flow, payload, exit, rules, shared.sockets, shared.now);
                }
                _ => {}
            },
            TCP => {
                let Some(opening) = tcp else { return };
                inner.truncate(length);
                self.receive_tcp(inner, opening, to_exit, shared);
            }
            _ => {}
        }
    }

    fn receive_tcp(
        &mut self,
        packet: Packet,
        (flow, opening): (FlowKey, TcpOpening),
        to_exit: bool,
        shared: &mut Shared<'_>,
    ) {
        let config = shared.config;
        let tcp = match &mut self.tcp {
            Some(tcp) => tcp,
            none => {
                let made = TcpFlows::new(self.id, config.inner_address, config.mtu, shared.now);
                // Without randomness there are no sequence numbers.
                let Ok(made) = made else { return };
                none.insert(made)
            }
        };
        let way = match &config.control {
            _ if !to_exit => Way::Out(self.grant.exit_address, &config.policy),
            Some(control) if control.port == flow.destination.port() => {
                Way::Control(control, self.grant.public_key)
            }
            // The exit itself has no other TCP services: a reset.
            _ => Way::Refused,
        };
        tcp.receive(packet, (flow, opening), way, &config.limits, shared.sockets, shared.now);
    }

    /// Sends an answer of the resolver.
    pub(super) fn answer(&mut self, flow: FlowKey, message: &[u8], shared: &mut Shared<'_>) {
        let mtu = shared.config.mtu;
        let packet = udp_packet(flow.destination, flow.source, message, usize::from(mtu));
        if let Some(bytes) = packet {
            self.send_inner(Packet::from_bytes(bytes), mtu, shared.wire);
        }
    }

    /// Notes what has become of a TCP flow's host socket.
    pub(super) fn wake_tcp(&mut self, flow: &FlowKey, event: &Event, shared: &mut Shared<'_>) {
        if let Some(tcp) = &mut self.tcp {
            let buffer = shared.config.limits.buffer;
            tcp.wake(flow, event, buffer, shared.sockets, shared.now);
        }
    }

    /// Notes that a UDP flow's host socket has become readable.
    pub(super) fn wake_udp(&mut self, flow: &FlowKey) {
        self.udp.wake(flow);
    }

    /// Moves what can be moved. Whether there may be more at once.
    pub(super) fn pump(&mut self, shared: &mut Shared<'_>) -> bool {
        let mtu = shared.config.mtu;
        let mut packets = Vec::new();
        if let Some(tcp) = &mut self.tcp {
            tcp.pump(shared.sockets, shared.now, |packet| packets.push(packet));
        }
        if self.tcp.as_ref().is_some_and(TcpFlows::is_broken) {
            tracing::warn!("a packet has upset the TCP stack of a peer; its flows are lost");
            self.drop_tcp(shared.sockets);
        }
        let more = self.udp.pump(mtu, shared.now, |packet| packets.push(packet));
        for packet in packets {
            self.send_inner(packet, mtu, shared.wire);
        }
        more
    }

    /// How long until the peer's stack has something to do by itself.
    pub(super) fn idle_for(&mut self, now: Instant) -> Option<Duration> {
        self.tcp.as_mut()?.idle_for(now)
    }

    /// What is due now and then: keepalives, new handshakes, the end of idle flows.
    pub(super) fn tick(&mut self, shared: &mut Shared<'_>) {
        if let Ok(Some(packet)) = self.tunn.update_timers() {
            self.send(packet, shared.wire);
        }
        let limits = &shared.config.limits;
        self.udp.drop_idle(limits, shared.sockets, shared.now);
        if let Some(tcp) = &mut self.tcp {
            tcp.drop_idle(limits, shared.sockets, shared.now);
        }
        self.pump(shared);
        // An idle peer keeps its tunnel, not its stack.
        if self.tcp.as_ref().is_some_and(TcpFlows::is_empty) {
            self.tcp = None;
        }
    }

    /// Ends all flows at once.
    pub(super) fn drop_flows(&mut self, sockets: &mut HostSockets) {
        self.drop_tcp(sockets);
        self.udp.drop_all(sockets);
    }

    fn drop_tcp(&mut self, sockets: &mut HostSockets) {
        if let Some(mut tcp) = self.tcp.take() {
            tcp.drop_all(sockets);
        }
    }

    fn send_inner(&mut self, packet: Packet, mtu: u16, wire: &mut Wire) {
        let mut mtu = MtuWatcher::new(mtu);
        if let Some(packet) = self.tunn.handle_outgoing_packet(packet, Some(&mut mtu)) {
            self.send(packet, wire);
        }
    }

    fn send(&mut self, packet: WgKind, wire: &mut Wire) {
        match &packet {
            WgKind::HandshakeInit(packet) => self.add_session(packet.sender_idx.get(), wire),
            WgKind::HandshakeResp(packet) => self.add_session(packet.sender_idx.get(), wire),
            WgKind::CookieReply(_) | WgKind::Data(_) => {}
        }
        if let Some(endpoint) = self.endpoint {
            wire.outgoing.push((packet.into(), endpoint));
        }
    }

    fn add_session(&mut self, number: u32, wire: &mut Wire) {
        wire.routes.insert(number, self.id);
        self.sessions.push_back(number);
        if self.sessions.len() > SESSIONS {
            self.drop_oldest_session(wire);
        }
    }

    fn drop_oldest_session(&mut self, wire: &mut Wire) {
        let Some(number) = self.sessions.pop_front() else { return };
        // By now the number may be another peer's.
        if wire.routes.get(&number) == Some(&self.id) {
            wire.routes.remove(&number);
        }
    }

    /// Ends everything: flows, and the ways that lead here.
    pub(super) fn end(mut self, sockets: &mut HostSockets, wire: &mut Wire) {
        self.drop_flows(sockets);
        while !self.sessions.is_empty() {
            self.drop_oldest_session(wire);
        }
    }
}
