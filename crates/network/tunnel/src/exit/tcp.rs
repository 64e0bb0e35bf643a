//! TCP flows of one peer: taken in by its stack, opened anew from host sockets.
//!
//! A peer's request is kept from the stack until the host's connection stands, so that what the
//! destination says is what the peer hears: accepted, refused (a reset) or unreachable (ICMP).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use gotatun::packet::Packet;
use mio::Token;
use mio::event::Event;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

use super::host::{self, HostSockets, HostStream, Owner, PeerId};
use super::{Control, Limits};
use crate::packet::{self, FlowKey, TcpOpening, Unreachable};
use crate::policy::DestinationPolicy;
use crate::splice::{HostEnd as _, Splice};
use crate::stack::Stack;
use peer_key::PeerKey;

/// One peer's stack and its flows.
pub(super) struct TcpFlows {
    peer: PeerId,
    stack: Stack,
    flows: HashMap<FlowKey, Flow>,
    half_open: usize,
}

struct Flow {
    opening: TcpOpening,
    token: Token,
    /// Whether it goes to the exit itself.
    control: bool,
    state: State,
    last_used: Instant,
}

enum State {
    /// The host's connection is under way; the peer's request is held until it stands.
    Connecting(HostStream, Packet),
    /// Both stand.
    Joined(Splice<HostStream>, SocketHandle),
}

/// Where a peer's flow leads.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// Out of the host from this address, as far as the policy lets it.
    Out(IpAddr, &'a DestinationPolicy),
    /// To whoever answers for the exit, as this peer's.
    Control(&'a Control, PeerKey),
    /// Nowhere.
    Refused,
}

impl TcpFlows {
    pub(super) fn new(
        peer: PeerId,
        inner_address: Ipv4Addr,
        mtu: u16,
        now: Instant,
    ) -> io::Result<Self> {
        let stack = Stack::new(inner_address, true, mtu, now)?;
        Ok(Self { peer, stack, flows: HashMap::new(), half_open: 0 })
    }

    /// Whether nothing would be lost by dropping all this.
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Whether the stack has given up; its flows are lost.
    pub(super) const fn is_broken(&self) -> bool {
        self.stack.is_broken()
    }

    /// Takes in a TCP packet. A request for a new flow starts one by this way, if that and `limits` let it;
    /// otherwise nothing listens for it, and the stack answers with a reset.
    pub(super) fn receive(
        &mut self,
        packet: Packet,
        (key, opening): (FlowKey, TcpOpening),
        way: Way<'_>,
        limits: &Limits,
        sockets: &mut HostSockets,
        now: Instant,
    ) {
        if opening.opens {
            match self.flows.get(&key) {
                Some(flow) if flow.opening == opening => {
                    // Asked again; the stack knows the request only once it has been granted.
                    if matches!(flow.state, State::Connecting(..)) {
                        return;
                    }
                }
                // The peer has forgotten the flow that it had.
                Some(_) => self.drop_flow(&key, sockets),
                None => {}
            }
            if !self.flows.contains_key(&key) && self.has_room(way, limits) {
                match way.begin(key) {
                    Ok(stream) => {
                        self.open((key, opening), stream, packet, limits.buffer, sockets, now);
                        return;
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(_) => return self.say_unreachable(key),
                }
            }
        }
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.last_used = now;
        }
        self.stack.receive(packet, now);
    }

    fn has_room(&self, way: Way<'_>, limits: &Limits) -> bool {
        let control = || self.flows.values().filter(|flow| flow.control).count();
        self.flows.len() < limits.tcp_flows
            && self.half_open < limits.half_open
            && (!way.is_control() || control() < limits.control_flows)
    }

    fn open(
        &mut self,
        (key, opening): (FlowKey, TcpOpening),
        mut stream: HostStream,
        request: Packet,
        buffer: usize,
        sockets: &mut HostSockets,
        now: Instant,
    ) {
        let owner = Owner::Tcp(self.peer, key);
        let Ok(token) = sockets.register(&mut stream, owner) else {
            return self.say_unreachable(key);
        };
        let control = matches!(stream, HostStream::Control(_));
        let state = State::Connecting(stream, request);
        self.flows.insert(key, Flow { opening, token, control, state, last_used: now });
        self.half_open += 1;
        if control {
            // There is nobody to wait for.
            self.join(&key, buffer, sockets, now);
        }
    }

    /// Notes what has become of a host socket.
    pub(super) fn wake(
        &mut self,
        key: &FlowKey,
        event: &Event,
        buffer: usize,
        sockets: &mut HostSockets,
        now: Instant,
    ) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        match &mut flow.state {
            State::Joined(splice, _) => splice.wake(event),
            State::Connecting(stream, _) => match outcome(stream) {
                Outcome::UnderWay => {}
                Outcome::Connected => self.join(key, buffer, sockets, now),
                Outcome::Refused => self.refuse(key, sockets, now),
                Outcome::Unreachable => {
                    self.say_unreachable(*key);
                    self.drop_flow(key, sockets);
                }
            },
        }
    }

    /// Grants the peer's request: the stack meets it while a socket listens for it.
    fn join(&mut self, key: &FlowKey, buffer: usize, sockets: &mut HostSockets, now: Instant) {
        let Some(flow) = self.flows.remove(key) else { return };
        let State::Connecting(stream, request) = flow.state else { return };
        self.half_open -= 1;
        let listening = self.stack.listen(key.destination, buffer);
        self.stack.receive(request, now);
        let Some(handle) = listening else { return sockets.forget(flow.token) };
        let state = State::Joined(Splice::new(stream), handle);
        self.flows.insert(*key, Flow { state, last_used: now, ..flow });
        if self.stack.socket(handle).state() == tcp::State::Listen {
            // Not a request after all: one with wrong options, say.
            self.drop_flow(key, sockets);
        }
    }

    /// Has the peer told by a reset.
    fn refuse(&mut self, key: &FlowKey, sockets: &mut HostSockets, now: Instant) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        match &mut flow.state {
            State::Joined(_, handle) => self.stack.socket(*handle).abort(),
            // Nothing listens for the request, so the stack answers with a reset.
            State::Connecting(_, request) => {
                self.stack.receive(std::mem::take(request), now);
            }
        }
        self.stack.transmit(now);
        self.drop_flow(key, sockets);
    }

    fn say_unreachable(&mut self, key: FlowKey) {
        if let Some(bytes) = packet::unreachable_packet(packet::TCP, key, Unreachable::Host) {
            self.stack.push_packet(Packet::from_bytes(bytes));
        }
    }

    /// Moves bytes until nothing moves any more, handing packets for the peer to `send`.
    pub(super) fn pump(
        &mut self,
        sockets: &mut HostSockets,
        now: Instant,
        mut send: impl FnMut(Packet),
    ) {
        loop {
            self.stack.transmit(now);
            self.stack.take_packets().for_each(&mut send);
            let mut moved = false;
            for flow in self.flows.values_mut() {
                if let State::Joined(splice, handle) = &mut flow.state
                    && splice.pump(self.stack.socket(*handle))
                {
                    flow.last_used = now;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        let stack = &mut self.stack;
        let finished = self.flows.iter().filter(|(_, flow)| match &flow.state {
            State::Joined(splice, handle) => splice.is_finished(stack.socket(*handle)),
            State::Connecting(..) => false,
        });
        let finished: Vec<_> = finished.map(|(key, _)| *key).collect();
        for key in finished {
            self.drop_flow(&key, sockets);
        }
    }

    /// Ends flows that have been idle, or under way, for too long.
    pub(super) fn drop_idle(&mut self, limits: &Limits, sockets: &mut HostSockets, now: Instant) {
        let mut late = Vec::new();
        let mut idle = Vec::new();
        for (key, flow) in &self.flows {
            let since = now.saturating_duration_since(flow.last_used);
            match flow.state {
                State::Connecting(..) if since >= limits.connect => late.push(*key),
                State::Joined(..) if since >= limits.tcp_idle => idle.push(*key),
                _ => {}
            }
        }
        for key in late {
            self.say_unreachable(key);
            self.drop_flow(&key, sockets);
        }
        for key in idle {
            self.refuse(&key, sockets, now);
        }
    }

    /// How long there is nothing to do unless something comes; `None` for ever.
    pub(super) fn idle_for(&mut self, now: Instant) -> Option<Duration> {
        if self.flows.is_empty() { None } else { self.stack.idle_for(now) }
    }

    fn drop_flow(&mut self, key: &FlowKey, sockets: &mut HostSockets) {
        let Some(flow) = self.flows.remove(key) else { return };
        sockets.forget(flow.token);
        match flow.state {
            State::Connecting(stream, _) => {
                self.half_open -= 1;
                stream.cut();
            }
            State::Joined(splice, handle) => {
                self.stack.remove(handle);
                splice.close();
            }
        }
    }

    /// Ends all flows at once: the hosts' connections are reset, the peer hears nothing.
    pub(super) fn drop_all(&mut self, sockets: &mut HostSockets) {
        let all: Vec<_> = self.flows.keys().copied().collect();
        for key in all {
            self.drop_flow(&key, sockets);
        }
    }
}

impl Way<'_> {
    const fn is_control(self) -> bool {
        matches!(self, Self::Control(..))
    }

    /// The host's end of a new flow.
    fn begin(self, flow: FlowKey) -> io::Result<HostStream> {
        let destination = SocketAddr::V4(flow.destination);
        match self {
            Self::Out(exit, policy) if policy.check(destination).is_ok() => {
                host::connect_tcp(exit, destination).map(HostStream::Out)
            }
            Self::Control(control, peer) => control.open(peer).map(HostStream::Control),
            Self::Out(..) | Self::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

enum Outcome {
    UnderWay,
    Connected,
    Refused,
    Unreachable,
}

fn outcome(stream: &HostStream) -> Outcome {
    let HostStream::Out(stream) = stream else { return Outcome::Connected };
    match stream.take_error() {
        Ok(None) => match stream.peer_addr() {
            Ok(_) => Outcome::Connected,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Outcome::UnderWay,
            Err(_) => Outcome::Unreachable,
        },
        Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Outcome::Refused,
        _ => Outcome::Unreachable,
    }
}
