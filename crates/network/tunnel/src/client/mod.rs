//! The client: a proxy on loopback whose connections leave at an exit.
//!
//! The proxy speaks SOCKS5 and HTTP CONNECT on one port. Names are looked up at the exit, so nothing is
//! asked on this side. It has no authentication and therefore listens on loopback only: whoever can
//! connect there can use the tunnel.

mod connection;
mod engine;
mod handshake;
mod http_connect;
mod names;
mod socks;
mod target;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::Waker;

use self::engine::Engine;
pub(crate) use self::handshake::{Handshake, Step};
pub(crate) use self::names::read_answer;
pub(crate) use self::target::Host;
use crate::error::{TunnelError, checked_mtu};
use peer_key::{PeerKey, PeerSecret};

/// What a client needs to run.
pub struct ClientConfig {
    /// The device's own key.
    pub secret_key: PeerSecret,
    /// The exit's key.
    pub peer_public_key: PeerKey,
    /// Where the exit listens.
    pub peer_endpoint: SocketAddr,
    /// The device's address inside the tunnel.
    pub inner_address: Ipv4Addr,
    /// The resolver inside the tunnel: the exit's inner address.
    pub resolver: Ipv4Addr,
    /// The local address that the tunnel's datagrams come from; the system's choice when `None`.
    pub bind: Option<IpAddr>,
    /// Where the proxy listens, on loopback; port 0 for any free one.
    pub proxy_listen: SocketAddr,
    /// Largest inner packet, in bytes: 576 to 9000.
    pub mtu: u16,
    /// Seconds between keepalives; they keep NATs open, and the tunnel up while it is idle.
    pub keepalive: Option<u16>,
}

/// How a client is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How long ago the last handshake was; `None` when there is no live session.
    pub handshake_age: Option<Duration>,
    /// Bytes of the tunnel's packets that were sent.
    pub sent: u64,
    /// Bytes of the tunnel's packets that were received.
    pub received: u64,
    /// Connections through the proxy that stand.
    pub open_flows: usize,
}

/// A client's beginning; see [`Client::spawn`].
pub struct Client;

impl Client {
    /// Binds the sockets and starts the thread. It ends with [`ClientHandle::shutdown`], or when the last
    /// handle is dropped. The first packet, or [`ClientHandle::wait_connected`], makes the handshake.
    pub fn spawn(config: ClientConfig) -> Result<ClientHandle, TunnelError> {
        checked_mtu(config.mtu)?;
        if !config.proxy_listen.ip().is_loopback() {
            return Err(TunnelError::NotLoopback(config.proxy_listen));
        }
        let shared = Arc::new(Shared::default());
        let mut engine = Engine::new(&config, Arc::clone(&shared))?;
        let (proxy_addr, waker) = (engine.proxy_addr(), engine.waker());
        let thread =
            thread::Builder::new().name("tunnel-client".into()).spawn(move || engine.run())?;
        let thread = Mutex::new(Some(thread));
        Ok(ClientHandle(Arc::new(Inner { shared, waker, proxy_addr, thread })))
    }
}

/// What the loop and its handles tell each other.
#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    handshake_wanted: AtomicBool,
    report: Mutex<Report>,
    reported: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Report {
    last_handshake: Option<Instant>,
    sent: u64,
    received: u64,
    open_flows: usize,
    ended: bool,
}

impl Shared {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running client. Clones are handles to the same one.
#[derive(Clone)]
pub struct ClientHandle(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    proxy_addr: SocketAddr,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ClientHandle {
    /// How the client is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let report = *self.0.shared.report();
        Status {
            handshake_age: report.last_handshake.map(|at| at.elapsed()),
            sent: report.sent,
            received: report.received,
            open_flows: report.open_flows,
        }
    }

    /// Makes a handshake, unless there is a live session, and waits until it is done.
    pub fn wait_connected(&self, timeout: Duration) -> Result<(), TunnelError> {
        let shared = &self.0.shared;
        shared.handshake_wanted.store(true, Ordering::SeqCst);
        self.0.wake();
        let waiting = |report: &mut Report| report.last_handshake.is_none() && !report.ended;
        let (report, waited) = shared
            .reported
            .wait_timeout_while(shared.report(), timeout, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if report.ended {
            Err(TunnelError::Stopped)
        } else if waited.timed_out() {
            Err(TunnelError::NoHandshake(timeout))
        } else {
            Ok(())
        }
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn proxy_addr(&self) -> SocketAddr {
        self.0.proxy_addr
    }

    /// Ends the client and waits until it has ended. Doing so twice does no harm.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

impl Inner {
    fn wake(&self) {
        // The loop wakes several times a second by itself.
        let _ = self.waker.wake();
    }

    fn shutdown(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the client's loop had failed");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}
