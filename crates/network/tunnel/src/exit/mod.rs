//! The exit: takes peers' tunnels in and lets their flows out of host sockets, each peer's from its own
//! address.
//!
//! One thread does it all, without locks but the table of grants. A peer is authorised at its first
//! handshake; whoever has no grant hears nothing at all. When a grant ends, so does the tunnel, with all
//! flows in it.
//!
//! Inner packets are IPv4: TCP, UDP, and at the exit's inner address DNS questions and flows to its control port. IPv6
//! packets, fragments and everything else are dropped.

mod control;
mod dns;
mod engine;
mod gate;
mod grants;
mod host;
mod peer;
mod tcp;
mod udp;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::Waker;

pub use self::control::{Control, ControlFlow, TakeFlow};
pub(crate) use self::dns::{DnsQuestion, answer_question, read_question};
pub use self::gate::Handshakes;
pub use self::grants::PeerGrant;

use self::engine::Engine;
use self::gate::Tally;
use self::grants::Grants;
use crate::error::{TunnelError, checked_mtu};
use crate::policy::DestinationPolicy;
use peer_key::{PeerKey, PeerSecret};

/// The present moment, in seconds since 1970: what grants expire by.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What an exit needs to run.
pub struct ExitConfig {
    /// Where tunnels arrive; port 0 for any free one.
    pub listen: SocketAddr,
    /// The exit's own key.
    pub secret_key: PeerSecret,
    /// Keys that it had before: whoever knows it by one of these is served on.
    pub former_keys: Vec<PeerSecret>,
    /// The exit's address inside all tunnels, which is the peers' resolver too: `100.64.0.1`, say.
    pub inner_address: Ipv4Addr,
    /// Largest inner packet, in bytes: 576 to 9000, [`DEFAULT_MTU`](crate::DEFAULT_MTU) when in doubt.
    pub mtu: u16,
    /// Which destinations flows may go to.
    pub policy: DestinationPolicy,
    /// How much one peer may use.
    pub limits: Limits,
    /// What is answered at the inner address beside DNS questions; nothing when `None`.
    pub control: Option<Control>,
    /// The clock that grants expire by.
    pub now: Now,
}

/// How much one peer may use, so that none takes the exit from the others.
#[derive(Clone, Debug)]
pub struct Limits {
    /// TCP flows at a time; further ones are refused by a reset.
    pub tcp_flows: usize,
    /// TCP flows among these that the destination hasn't answered yet.
    pub half_open: usize,
    /// TCP flows among these that go to the exit's control port.
    pub control_flows: usize,
    /// UDP flows at a time; the one that was idle longest makes room.
    pub udp_flows: usize,
    /// Bytes that a TCP flow may hold on its way, for either direction.
    pub buffer: usize,
    /// How long a destination may take to accept a TCP flow.
    pub connect: Duration,
    /// How long a TCP flow may be silent: more than two hours (RFC 5382, REQ-5).
    pub tcp_idle: Duration,
    /// How long a UDP flow may be silent.
    pub udp_idle: Duration,
    /// Handshakes a second from one outer address that cost no proof of that address. Peers behind one
    /// relay share an address.
    pub handshakes_per_second: u64,
    /// Handshakes a second from all addresses that cost no such proof: addresses can be made up.
    pub handshakes_in_all: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tcp_flows: 256,
            half_open: 64,
            control_flows: 4,
            udp_flows: 256,
            buffer: 256 << 10,
            connect: Duration::from_secs(15),
            tcp_idle: Duration::from_secs(7440),
            udp_idle: Duration::from_secs(60),
            handshakes_per_second: 1000,
            handshakes_in_all: 4000,
        }
    }
}

/// Watches what an exit sees. For audits: an exit that serves people runs with `()`, which costs nothing.
pub trait Observer: Send + 'static {
    /// A packet out of some peer's tunnel, decrypted.
    fn inner_packet(&mut self, packet: &[u8]);
    /// A datagram as it arrived from `source`, before anything is known of it.
    fn datagram(&mut self, source: SocketAddr, bytes: &[u8]);
}

impl Observer for () {
    fn inner_packet(&mut self, _: &[u8]) {}
    fn datagram(&mut self, _: SocketAddr, _: &[u8]) {}
}

/// An exit's beginning; see [`Exit::spawn`].
pub struct Exit;

impl Exit {
    /// Binds the socket and starts the thread. It ends with [`ExitHandle::shutdown`], or when the last
    /// handle is dropped.
    pub fn spawn(config: ExitConfig, observer: impl Observer) -> Result<ExitHandle, TunnelError> {
        checked_mtu(config.mtu)?;
        let now = Arc::clone(&config.now);
        let grants = Arc::new(Grants::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Tally::default());
        let (for_loop, told) = (Arc::clone(&grants), Arc::clone(&stopping));
        let mut engine = Engine::new(config, observer, for_loop, told, Arc::clone(&tally))?;
        let (listen_addr, waker) = (engine.listen_addr(), engine.waker());
        let thread =
            thread::Builder::new().name("tunnel-exit".into()).spawn(move || engine.run())?;
        let thread = Mutex::new(Some(thread));
        Ok(ExitHandle(Arc::new(Inner { grants, tally, stopping, waker, listen_addr, now, thread })))
    }
}

/// A running exit. Clones are handles to the same one.
#[derive(Clone)]
pub struct ExitHandle(Arc<Inner>);

struct Inner {
    grants: Arc<Grants>,
    tally: Arc<Tally>,
    stopping: Arc<AtomicBool>,
    waker: Arc<Waker>,
    listen_addr: SocketAddr,
    now: Now,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ExitHandle {
    /// Lets a peer in: in force when this returns. A grant for a key that has one replaces it; if the exit
    /// address is another one, the flows that left from the former end.
    pub fn add_peer(&self, grant: PeerGrant) {
        self.0.grants.add(grant);
        self.0.wake();
    }

    /// Ends a peer's grant, and with it the tunnel. Whether there was one.
    pub fn remove_peer(&self, public_key: &PeerKey) -> bool {
        let known = self.0.grants.remove(public_key);
        self.0.wake();
        known
    }

    /// Whether flows can leave from `exit_address`: inner packets are IPv4, and a flow that is IPv4 inside is so outside.
    #[must_use]
    pub const fn carries(&self, exit_address: IpAddr) -> bool {
        exit_address.is_ipv4()
    }

    /// How many peers have a grant that hasn't expired.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.0.grants.count((self.0.now)())
    }

    /// Counts of this exit that don't keep it running.
    #[must_use]
    pub fn watch(&self) -> ExitWatch {
        let (grants, tally, now) =
            (Arc::clone(&self.0.grants), Arc::clone(&self.0.tally), Arc::clone(&self.0.now));
        ExitWatch { grants, tally, now }
    }

    /// Where tunnels arrive.
    #[must_use]
    pub fn listen_addr(&self) -> SocketAddr {
        self.0.listen_addr
    }

    /// Ends the exit and waits until it has ended. Doing so twice does no harm.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

/// Looks at an exit's counts, whether or not it still runs.
pub struct ExitWatch {
    grants: Arc<Grants>,
    tally: Arc<Tally>,
    now: Now,
}

impl ExitWatch {
    /// As [`ExitHandle::peers`].
    #[must_use]
    pub fn peers(&self) -> usize {
        self.grants.count((self.now)())
    }

    /// What became of handshake messages so far.
    #[must_use]
    pub fn handshakes(&self) -> Handshakes {
        self.tally.read()
    }
}

impl Inner {
    fn wake(&self) {
        // The loop wakes several times a second by itself.
        let _ = self.waker.wake();
    }

    fn shutdown(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the exit's loop had failed");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}
