//! Somebody between two services (or a client and a service) who drops what goes by, when told to: the worst that
//! a network can do at the worst moment.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

/// What is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The second half of the request: the service never gets all of it.
    Request,
    /// The reply, after the service did its work.
    Reply,
    /// The second half of the reply.
    HalfReply,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 3] = [Self::Request, Self::Reply, Self::HalfReply];
}

/// A fault, and how many connections pass before it strikes.
type Armed = Arc<Mutex<Option<(Fault, usize)>>>;

/// A proxy that drops what it is told to. It ends with the process.
pub struct Dropper {
    address: SocketAddr,
    armed: Armed,
    dropped: Arc<AtomicUsize>,
}

impl Dropper {
    /// One before the HTTP service at `to`. (Everybody here sends one request on a connection.)
    ///
    /// # Errors
    /// When there is no free port.
    pub fn before(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let dropper = Self {
            address: listener.local_addr()?,
            armed: Arc::default(),
            dropped: Arc::default(),
        };
        let (armed, dropped) = (Arc::clone(&dropper.armed), Arc::clone(&dropper.dropped));
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // Whoever talks to a service that is down is hung up on.
                let Ok(far) = TcpStream::connect(to) else { continue };
                let strikes =
                    Strike { armed: next_connection(&armed), dropped: Arc::clone(&dropped) };
                join(near, far, strikes);
            }
        });
        Ok(dropper)
    }

    /// One before the socket `to`, listening on the socket `at`, whose streams are used more than once.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn before_socket(at: &Path, to: &Path) -> Result<Self> {
        let listener = UnixListener::bind(at)?;
        let dropper = Self {
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
            armed: Arc::default(),
            dropped: Arc::default(),
        };
        let (armed, dropped) = (Arc::clone(&dropper.armed), Arc::clone(&dropper.dropped));
        let to = to.to_owned();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = UnixStream::connect(&to) else { continue };
                let (armed, dropped) = (Arc::clone(&armed), Arc::clone(&dropped));
                join(near, far, Strike { armed, dropped });
            }
        });
        Ok(dropper)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Strikes the next request.
    pub fn strike(&self, fault: Fault) {
        self.strike_after(0, fault);
    }

    /// Lets so many requests pass and strikes the one after them.
    pub fn strike_after(&self, passed: usize, fault: Fault) {
        *lock(&self.armed) = Some((fault, passed));
    }

    /// How often it struck.
    #[must_use]
    pub fn struck(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

/// What may befall one connection.
#[derive(Clone)]
struct Strike {
    armed: Armed,
    dropped: Arc<AtomicUsize>,
}

impl Strike {
    /// Takes the fault if it concerns this direction.
    fn due(&self, is_reply: bool) -> Option<Fault> {
        let mut armed = lock(&self.armed);
        let (fault, _) = (*armed)?;
        if (fault == Fault::Request) == is_reply {
            return None;
        }
        *armed = None;
        self.dropped.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }
}

/// The fault that is for the connection that was just made, if it is its turn.
fn next_connection(armed: &Armed) -> Armed {
    let mut all = lock(armed);
    match &mut *all {
        Some((_, 0)) => Arc::new(Mutex::new(all.take())),
        Some((_, left)) => {
            *left -= 1;
            Arc::default()
        }
        None => Arc::default(),
    }
}

/// Either kind of stream.
trait Duplex: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> std::io::Result<Self>;
    fn hang_up(&self, how: Shutdown);
}

impl Duplex for TcpStream {
    fn twin(&self) -> std::io::Result<Self> {
        self.try_clone()
    }

    fn hang_up(&self, how: Shutdown) {
        let _ = self.shutdown(how);
    }
}

impl Duplex for UnixStream {
    fn twin(&self) -> std::io::Result<Self> {
        self.try_clone()
    }

    fn hang_up(&self, how: Shutdown) {
        let _ = self.shutdown(how);
    }
}

fn join<S: Duplex>(near: S, far: S, strike: Strike) {
    let (Ok(near_twin), Ok(far_twin)) = (near.twin(), far.twin()) else { return };
    let back = strike.clone();
    thread::spawn(move || pass(near_twin, far_twin, &strike, false));
    thread::spawn(move || pass(far, near, &back, true));
}

/// Passes on what comes, until the end of it or a fault.
fn pass<S: Duplex>(mut from: S, mut to: S, strike: &Strike, is_reply: bool) {
    let mut chunk = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        let Some(piece) = chunk.get(..length) else { break };
        let due = strike.due(is_reply);
        let passed = match due {
            None => length,
            Some(Fault::Reply) => 0,
            Some(Fault::Request | Fault::HalfReply) => length / 2,
        };
        let sent = piece.get(..passed).is_some_and(|piece| to.write_all(piece).is_ok());
        if due.is_some() {
            to.hang_up(Shutdown::Both);
            from.hang_up(Shutdown::Both);
            return;
        }
        if !sent {
            break;
        }
    }
    to.hang_up(Shutdown::Write);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
