//! A TCP/IP stack in process: packets of one peer in, sockets out, and the other way round.
//!
//! The stack is fed by hand, a packet at a time, so that whoever opened a socket for a packet knows that
//! this packet, and no other, has met it. It scans its sockets linearly; each peer has a stack of its own.
//!
//! A packet that makes the stack panic costs its peer the stack with all flows in it, and nobody else
//! anything: see [`Stack::is_broken`].

use std::net::{Ipv4Addr, SocketAddrV4};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gotatun::packet::Packet;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpListenEndpoint};

/// Packets that may wait to be taken by [`Stack::take_packets`].
const QUEUE: usize = 512;
/// A far end that acknowledges nothing for so long is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Sockets over queues of packets.
pub(crate) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    device: Queues,
    started: Instant,
    broken: bool,
}

impl Stack {
    /// A stack with the address `address`; with `any_address` it takes packets to every other one, too.
    pub(crate) fn new(
        address: Ipv4Addr,
        any_address: bool,
        mtu: u16,
        now: Instant,
    ) -> std::io::Result<Self> {
        let mut device = Queues { received: None, sent: Vec::new(), mtu: usize::from(mtu) };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = getrandom::u64()?;
        let mut interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The list is empty, and has room for one.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(address), 32));
        });
        let _ = interface.routes_mut().add_default_ipv4_route(address);
        interface.set_any_ip(any_address);
        Ok(Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            device,
            started: now,
            broken: false,
        })
    }

    /// Whether a packet has upset the stack: it does nothing more, and its owner should replace it.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// A socket that waits for one connection to `destination`.
    pub(crate) fn listen(
        &mut self,
        destination: SocketAddrV4,
        buffer: usize,
    ) -> Option<SocketHandle> {
        let mut socket = new_socket(buffer);
        let endpoint = IpListenEndpoint {
            addr: Some(IpAddress::Ipv4(*destination.ip())),
            port: destination.port(),
        };
        socket.listen(endpoint).ok()?;
        Some(self.sockets.add(socket))
    }

    /// A socket that connects from `source` to `destination`.
    pub(crate) fn connect(
        &mut self,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        buffer: usize,
    ) -> Option<SocketHandle> {
        let mut socket = new_socket(buffer);
        let endpoint =
            |address: SocketAddrV4| IpEndpoint::new(IpAddress::Ipv4(*address.ip()), address.port());
        socket.connect(self.interface.context(), endpoint(destination), endpoint(source)).ok()?;
        Some(self.sockets.add(socket))
    }

    /// The socket behind a handle that [`Self::remove`] hasn't had yet.
    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Forgets a socket without a word to the far end.
    pub(crate) fn remove(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    /// Takes in one packet from the peer.
    pub(crate) fn receive(&mut self, packet: Packet, now: Instant) {
        self.device.received = Some(packet);
        self.guarded(now, |interface, device, sockets, now| {
            interface.poll_ingress_single(now, device, sockets);
        });
        self.device.received = None;
    }

    /// Lets the sockets produce packets, as many as the queue holds.
    pub(crate) fn transmit(&mut self, now: Instant) {
        self.guarded(now, |interface, device, sockets, now| {
            while interface.poll_egress(now, device, sockets) == PollResult::SocketStateChanged
                && device.sent.len() < QUEUE
            {}
        });
    }

    /// Adds a packet that was built elsewhere to those that wait to go to the peer.
    pub(crate) fn push_packet(&mut self, packet: Packet) {
        if self.device.sent.len() < QUEUE {
            self.device.sent.push(packet);
        }
    }

    /// What waits to go to the peer.
    pub(crate) fn take_packets(&mut self) -> std::vec::Drain<'_, Packet> {
        self.device.sent.drain(..)
    }

    /// How long the stack has nothing to do unless something comes; `None` for ever.
    pub(crate) fn idle_for(&mut self, now: Instant) -> Option<Duration> {
        self.guarded(now, |interface, _, sockets, now| interface.poll_delay(now, sockets))
            .flatten()
            .map(Duration::from)
    }

    fn time(&self, now: Instant) -> smoltcp::time::Instant {
        let elapsed = now.saturating_duration_since(self.started).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    fn guarded<R>(
        &mut self,
        now: Instant,
        work: impl FnOnce(
            &mut Interface,
            &mut Queues,
            &mut SocketSet<'static>,
            smoltcp::time::Instant,
        ) -> R,
    ) -> Option<R> {
        if self.broken {
            return None;
        }
        let now = self.time(now);
        let done = catch_unwind(AssertUnwindSafe(|| {
            work(&mut self.interface, &mut self.device, &mut self.sockets, now)
        }));
        self.broken = done.is_err();
        done.ok()
    }
}

fn new_socket(buffer: usize) -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; buffer]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    // The bytes were gathered by the host's sockets; waiting for more would only delay them.
    socket.set_nagle_enabled(false);
    // Packets are taken in by the batch, and one acknowledgement answers them all.
    socket.set_ack_delay(None);
    socket.set_congestion_control(tcp::CongestionControl::Cubic);
    socket.set_timeout(Some(smoltcp::time::Duration::from_micros(
        u64::try_from(UNACKNOWLEDGED.as_micros()).unwrap_or(u64::MAX),
    )));
    socket
}

/// The device under the stack: one packet in, a bounded queue out.
struct Queues {
    received: Option<Packet>,
    sent: Vec<Packet>,
    mtu: usize,
}

impl Device for Queues {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.received.take()?;
        Some((Incoming(packet), Outgoing(&mut self.sent)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Outgoing<'_>> {
        (self.sent.len() < QUEUE).then_some(Outgoing(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // The tunnel authenticates what comes, so only what goes needs a checksum.
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }
}

struct Incoming(Packet);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Outgoing<'a>(&'a mut Vec<Packet>);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut bytes = BytesMut::zeroed(length);
        let result = fill(&mut bytes);
        self.0.push(Packet::from_bytes(bytes));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_that_panics_stops_and_nothing_else_does() {
        let now = Instant::now();
        let mut stack = Stack::new(Ipv4Addr::new(100, 64, 0, 1), true, 1420, now).unwrap();
        let handle = stack.listen("192.0.2.1:80".parse().unwrap(), 1024).unwrap();
        assert!(!stack.is_broken());
        assert_eq!(stack.guarded(now, |_, _, _, _| 1), Some(1));
        stack.guarded(now, |_, _, _, _| panic!("as a packet might make it"));
        assert!(stack.is_broken());
        stack.receive(Packet::from_bytes(BytesMut::zeroed(60)), now);
        stack.transmit(now);
        assert_eq!(stack.idle_for(now), None);
        assert_eq!(stack.take_packets().count(), 0);
        stack.remove(handle);
    }
}
