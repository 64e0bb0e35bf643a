//! The host's side of an exit: sockets that leave from a peer's own address, and who owns which.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};

use mio::event::Source;
use mio::net::{TcpStream, UdpSocket, UnixStream};
use mio::{Interest, Registry, Token};
#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use crate::packet::FlowKey;
use crate::splice::HostEnd;

/// Which peer of the loop, by a number that is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PeerId(pub(super) u64);

/// Which flow a host socket belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Tcp(PeerId, FlowKey),
    Udp(PeerId, FlowKey),
}

/// The loop's register of host sockets.
pub(super) struct HostSockets {
    registry: Registry,
    owners: HashMap<Token, Owner>,
    next: usize,
}

impl HostSockets {
    /// An empty register whose tokens start at `first`.
    pub(super) fn new(registry: Registry, first: usize) -> Self {
        Self { registry, owners: HashMap::new(), next: first }
    }

    /// Has the loop woken when `source` becomes readable or writable.
    pub(super) fn register(&mut self, source: &mut impl Source, owner: Owner) -> io::Result<Token> {
        let token = Token(self.next);
        self.registry.register(source, token, Interest::READABLE | Interest::WRITABLE)?;
        self.next += 1;
        self.owners.insert(token, owner);
        Ok(token)
    }

    /// Forgets a socket that is about to be closed; closing it ends its events.
    pub(super) fn forget(&mut self, token: Token) {
        self.owners.remove(&token);
    }

    pub(super) fn owner(&self, token: Token) -> Option<Owner> {
        self.owners.get(&token).copied()
    }
}

/// The host's end of a peer's TCP flow.
pub(super) enum HostStream {
    /// A connection to the flow's destination.
    Out(TcpStream),
    /// A flow to the exit itself. Whoever answers there may end it with something left unread: what was answered before arrives
    /// all the same, and the rest is dropped.
    Control(UnixStream),
}

impl HostEnd for HostStream {
    fn finish(&self) -> io::Result<()> {
        match self {
            Self::Out(stream) => stream.finish(),
            Self::Control(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// A pair of sockets knows no reset: HTTP's own framing says what is whole.
    fn cut(&self) {
        if let Self::Out(stream) = self {
            stream.cut();
        }
    }
}

impl Read for HostStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Out(stream) => stream.read(buffer),
            Self::Control(stream) => ended(stream.read(buffer), 0),
        }
    }
}

impl Write for HostStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Out(stream) => stream.write(bytes),
            Self::Control(stream) => ended(stream.write(bytes), bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of reading or writing at a pair's end; `count` when the other end is closed.
fn ended(outcome: io::Result<usize>, count: usize) -> io::Result<usize> {
    let closed = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
    };
    outcome.or_else(|error| if closed(&error) { Ok(count) } else { Err(error) })
}

impl Source for HostStream {
    fn register(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        match self {
            Self::Out(stream) => stream.register(registry, token, on),
            Self::Control(stream) => stream.register(registry, token, on),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        match self {
            Self::Out(stream) => stream.reregister(registry, token, on),
            Self::Control(stream) => stream.reregister(registry, token, on),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Out(stream) => stream.deregister(registry),
            Self::Control(stream) => stream.deregister(registry),
        }
    }
}

/// Starts a TCP connection from `exit` to `destination`; it is under way when this returns.
pub(super) fn connect_tcp(exit: IpAddr, destination: SocketAddr) -> io::Result<TcpStream> {
    let socket = bound(exit, destination, Type::STREAM)?;
    // Whatever came out of the tunnel has been gathered there already.
    let _ = socket.set_tcp_nodelay(true);
    match socket.connect(&destination.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// A UDP socket on `exit` that speaks with `destination` alone.
pub(super) fn connect_udp(exit: IpAddr, destination: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bound(exit, destination, Type::DGRAM)?;
    socket.connect(&destination.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn bound(exit: IpAddr, destination: SocketAddr, kind: Type) -> io::Result<Socket> {
    let domain = Domain::for_address(destination);
    let socket = Socket::new(domain, kind, None)?;
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    allow_shared_ports_and_foreign_addresses(&socket, domain);
    socket.bind(&SocketAddr::new(exit, 0).into())?;
    Ok(socket)
}

/// Lets many sockets of one address share its ports, as long as they go to different destinations, and
/// an exit use addresses that are routed to its host without being configured there. Without either
/// option an exit still works, with fewer flows or addresses.
#[cfg(target_os = "linux")]
fn allow_shared_ports_and_foreign_addresses(socket: &Socket, domain: Domain) {
    let _ = setsockopt(socket, sockopt::IpBindAddressNoPort, &true);
    let _ = match domain {
        Domain::IPV6 => socket.set_freebind_v6(true),
        _ => socket.set_freebind_v4(true),
    };
}

fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32)
}
