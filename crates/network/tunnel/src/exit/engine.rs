//! The exit's loop: events in, packets through the peers, datagrams out.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gotatun::noise::handshake::parse_handshake_anon;
use gotatun::packet::WgKind;
use mio::event::Event;
use mio::{Events, Poll, Token, Waker};

use super::dns::{self, Resolver};
use super::gate::{DoorId, Gate, Passed, Tally, count};
use super::grants::Grants;
use super::host::{HostSockets, Owner, PeerId};
use super::peer::{Peer, Shared, Wire};
use super::{ExitConfig, Observer};
use crate::error::TunnelError;
use crate::outer::{Datagram, OuterSocket};
use peer_key::PeerKey;

const OUTER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_FLOW: usize = 2;
/// How often timers are looked at; a silent peer's expiry takes as long at most.
const TICK: Duration = Duration::from_millis(250);
/// Batches of datagrams that are taken in before the peers get to work.
const BATCHES: usize = 8;

pub(super) struct Engine<O> {
    config: ExitConfig,
    observer: O,
    grants: Arc<Grants>,
    stopping: Arc<AtomicBool>,
    waker: Arc<Waker>,
    poll: Poll,
    outer: OuterSocket,
    sockets: HostSockets,
    resolver: Resolver,
    gate: Gate,
    peers: HashMap<PeerId, Peer>,
    /// A device may have come by several of the exit's keys.
    by_key: HashMap<(DoorId, PeerKey), PeerId>,
    next_peer: u64,
    wire: Wire,
    /// Peers that have something to do at once.
    busy: HashSet<PeerId>,
    /// Peers whose stack has something to do at some time.
    due: HashMap<PeerId, Instant>,
}

impl<O: Observer> Engine<O> {
    pub(super) fn new(
        config: ExitConfig,
        observer: O,
        grants: Arc<Grants>,
        stopping: Arc<AtomicBool>,
        tally: Arc<Tally>,
    ) -> Result<Self, TunnelError> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let outer = OuterSocket::bind(config.listen, poll.registry(), OUTER)
            .map_err(|source| TunnelError::Listen { address: config.listen, source })?;
        let sockets = HostSockets::new(poll.registry().try_clone()?, FIRST_FLOW);
        let resolver = Resolver::start(&dns::host_lookup(), &waker)?;
        let keys = [&config.secret_key].into_iter().chain(&config.former_keys);
        let gate = Gate::new(keys, &config.limits, tally);
        Ok(Self {
            config,
            observer,
            grants,
            stopping,
            waker,
            poll,
            outer,
            sockets,
            resolver,
            gate,
            peers: HashMap::new(),
            by_key: HashMap::new(),
            next_peer: 0,
            wire: Wire::default(),
            busy: HashSet::new(),
            due: HashMap::new(),
        })
    }

    pub(super) const fn listen_addr(&self) -> SocketAddr {
        self.outer.address()
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
        while !self.stopping.load(Ordering::SeqCst) {
            let patience = self.patience(next_tick, more);
            match self.poll.poll(&mut events, Some(patience)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "the exit can't wait for events");
                    break;
                }
            }
            let now = Instant::now();
            let clock = (self.config.now)();
            for event in &events {
                self.wake(event, now);
            }
            self.apply_grants(clock);
            more = self.receive(&mut received, clock, now);
            self.deliver_answers(now);
            self.pump(now);
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(now);
            }
            self.outer.send(&mut self.wire.outgoing);
        }
        let everybody: Vec<_> = self.by_key.keys().map(|(_, key)| *key).collect();
        for key in everybody {
            self.end_peer(&key);
        }
    }

    /// How long the loop may wait for events.
    fn patience(&self, next_tick: Instant, more: bool) -> Duration {
        if more || !self.busy.is_empty() {
            return Duration::ZERO;
        }
        let next = self.due.values().copied().fold(next_tick, Instant::min);
        next.saturating_duration_since(Instant::now())
    }

    fn wake(&mut self, event: &Event, now: Instant) {
        let Some(owner) = self.sockets.owner(event.token()) else { return };
        let (Owner::Tcp(id, _) | Owner::Udp(id, _)) = owner;
        self.busy.insert(id);
        self.with_peer(id, now, |peer, shared, _| match owner {
            Owner::Tcp(_, flow) => peer.wake_tcp(&flow, event, shared),
            Owner::Udp(_, flow) => peer.wake_udp(&flow),
        });
    }

    /// Has the peers follow their grants: those without one end at once.
    fn apply_grants(&mut self, clock: u64) {
        for key in self.grants.take_changes(clock) {
            let Some(grant) = self.grants.find(&key, clock) else {
                self.end_peer(&key);
                continue;
            };
            for door in 0..self.gate.doors.len() {
                let peer = self.by_key.get(&(door, key)).and_then(|id| self.peers.get_mut(id));
                if let Some(peer) = peer {
                    peer.set_grant(grant, &mut self.sockets);
                }
            }
        }
    }

    /// Takes in what has come from outside. Whether there may be more.
    fn receive(&mut self, received: &mut Vec<Datagram>, clock: u64, now: Instant) -> bool {
        let mut more = true;
        for _ in 0..BATCHES {
            more = more && self.outer.receive(received);
        }
        for (datagram, source) in received.drain(..) {
            self.observer.datagram(source, &datagram);
            let (packet, door) = match self.gate.pass(datagram, source, now) {
                Passed::Packet(packet, door) => (packet, door),
                Passed::Cookie(cookie) => {
                    self.wire.outgoing.push((cookie, source));
                    continue;
                }
                Passed::Nothing => continue,
            };
            let Some(id) = self.addressee(&packet, door, clock) else { continue };
            self.busy.insert(id);
            self.with_peer(id, now, |peer, shared, observer| {
                if peer.grant().expires > clock {
                    peer.receive(packet, source, shared, observer);
                }
            });
        }
        more
    }

    /// Whose packet this is. A peer is made at its first handshake, if it has a grant.
    fn addressee(&mut self, packet: &WgKind, door: DoorId, clock: u64) -> Option<PeerId> {
        let number = match packet {
            WgKind::HandshakeInit(init) => {
                let keys = self.gate.doors.get(door)?;
                let opened = parse_handshake_anon(&keys.secret, &keys.public, init);
                let key = PeerKey::from_bytes(opened.ok()?.peer_static_public).ok()?;
                let known = self.by_key.get(&(door, key)).copied();
                let peer = known.or_else(|| self.make_peer(&key, door, clock));
                let tally = &self.gate.tally;
                count(if peer.is_some() { &tally.taken } else { &tally.strangers });
                return peer;
            }
            WgKind::HandshakeResp(packet) => packet.receiver_idx.get(),
            WgKind::CookieReply(packet) => packet.receiver_idx.get(),
            WgKind::Data(packet) => packet.header.receiver_idx.get(),
        };
        self.wire.routes.get(&number).copied()
    }

    fn make_peer(&mut self, key: &PeerKey, door: DoorId, clock: u64) -> Option<PeerId> {
        let grant = self.grants.find(key, clock)?;
        let keys = self.gate.doors.get(door)?;
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let peer = Peer::new(id, grant, keys, &self.gate.indices);
        self.peers.insert(id, peer);
        self.by_key.insert((door, *key), id);
        Some(id)
    }

    fn end_peer(&mut self, key: &PeerKey) {
        for door in 0..self.gate.doors.len() {
            let Some(id) = self.by_key.remove(&(door, *key)) else { continue };
            self.busy.remove(&id);
            self.due.remove(&id);
            self.resolver.forget(id);
            if let Some(peer) = self.peers.remove(&id) {
                peer.end(&mut self.sockets, &mut self.wire);
            }
        }
    }

    fn deliver_answers(&mut self, now: Instant) {
        for answered in self.resolver.take_answers(now) {
            self.with_peer(answered.peer, now, |peer, shared, _| {
                peer.answer(answered.flow, &answered.message, shared);
            });
        }
    }

    fn pump(&mut self, now: Instant) {
        self.busy.extend(self.due.extract_if(|_, at| *at <= now).map(|(id, _)| id));
        for id in std::mem::take(&mut self.busy) {
            let mut more = false;
            let mut idle_for = None;
            self.with_peer(id, now, |peer, shared, _| {
                more = peer.pump(shared);
                idle_for = peer.idle_for(now);
            });
            if more {
                self.busy.insert(id);
            }
            match idle_for {
                Some(idle) => self.due.insert(id, now + idle),
                None => self.due.remove(&id),
            };
        }
    }

    fn tick(&mut self, now: Instant) {
        self.gate.tick();
        let everybody: Vec<_> = self.peers.keys().copied().collect();
        for id in everybody {
            self.with_peer(id, now, |peer, shared, _| peer.tick(shared));
        }
    }

    fn with_peer(
        &mut self,
        id: PeerId,
        now: Instant,
        work: impl FnOnce(&mut Peer, &mut Shared<'_>, &mut O),
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let mut shared = Shared {
            config: &self.config,
            sockets: &mut self.sockets,
            resolver: &mut self.resolver,
            wire: &mut self.wire,
            now,
        };
        work(peer, &mut shared, &mut self.observer);
    }
}
