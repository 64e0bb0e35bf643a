//! The outer UDP socket: many datagrams a system call, with segmentation offload where the kernel has it.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use bytes::BytesMut;
use gotatun::packet::Packet;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Socket, Type};

/// Buffers of one receiving call; each may hold many datagrams of one sender (GRO).
const BATCH: usize = 32;
/// As much as UDP carries, and so as much as one offloaded call may.
const LARGEST: usize = 65_000;
/// The kernel gives what its limits allow.
const KERNEL_BUFFER: usize = 4 << 20;

/// A datagram and where it goes, or came from.
pub(crate) type Datagram = (Packet, SocketAddr);

/// A nonblocking UDP socket that speaks in batches.
pub(crate) struct OuterSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    address: SocketAddr,
    incoming: Vec<Vec<u8>>,
    outgoing: Vec<u8>,
}

impl OuterSocket {
    /// Binds to `address` and registers with `registry` under `token`.
    pub(crate) fn bind(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        // Smaller buffers lose more under load, nothing else.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        socket.bind(&address.into())?;
        let mut socket = UdpSocket::from_std(socket.into());
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let address = socket.local_addr()?;
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self {
            socket,
            state,
            address,
            incoming: vec![vec![0; usize::from(u16::MAX)]; BATCH],
            outgoing: Vec::with_capacity(LARGEST),
        })
    }

    /// Where the socket is bound.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Appends what has come to `received`. Whether there may be more.
    pub(crate) fn receive(&mut self, received: &mut Vec<Datagram>) -> bool {
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices: Vec<_> =
            self.incoming.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let count = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
            Ok(count) => count,
            // Other errors are about datagrams sent earlier, and say nothing about the next one.
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        };
        for (meta, buffer) in metas.iter().zip(&self.incoming).take(count) {
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            for datagram in bytes.chunks(meta.stride.max(1)) {
                received.push((Packet::from_bytes(BytesMut::from(datagram)), meta.addr));
            }
        }
        true
    }

    /// Sends all of `datagrams` and leaves it empty. What the kernel has no room for is lost, as it may be
    /// anywhere on the way.
    pub(crate) fn send(&mut self, datagrams: &mut Vec<Datagram>) {
        let segments = self.state.max_gso_segments().max(1);
        let mut waiting = datagrams.drain(..).peekable();
        while let Some((first, destination)) = waiting.next() {
            let segment = first.len();
            self.outgoing.clear();
            self.outgoing.extend_from_slice(&first);
            let mut count = 1;
            // Segments of one call are of one size; a shorter one must be the last.
            while count < segments
                && self.outgoing.len() == count * segment
                && let Some((next, _)) = waiting.next_if(|(next, to)| {
                    *to == destination
                        && next.len() <= segment
                        && self.outgoing.len() + next.len() <= LARGEST
                })
            {
                self.outgoing.extend_from_slice(&next);
                count += 1;
            }
            let transmit = Transmit {
                destination,
                ecn: None,
                contents: &self.outgoing,
                segment_size: (count > 1).then_some(segment),
                src_ip: None,
            };
            let _ = self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::{Duration, Instant};

    #[test]
    fn a_mixed_batch_arrives_datagram_by_datagram() {
        let mut poll = Poll::new().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut sender = OuterSocket::bind(any, poll.registry(), Token(0)).unwrap();
        let mut receivers =
            [1, 2].map(|token| OuterSocket::bind(any, poll.registry(), Token(token)).unwrap());
        let sizes = [1400, 1400, 1400, 90, 1400, 148, 148, 1400, 1, 1];
        let mut batch: Vec<Datagram> = Vec::new();
        for (number, &size) in sizes.iter().enumerate() {
            let to = receivers[usize::from(number >= 7)].address();
            batch.push((Packet::from_bytes(BytesMut::from(&vec![number as u8; size][..])), to));
        }
        sender.send(&mut batch);
        assert!(batch.is_empty());

        let mut received = Vec::new();
        let mut events = Events::with_capacity(8);
        let deadline = Instant::now() + Duration::from_secs(5);
        while received.len() < sizes.len() && Instant::now() < deadline {
            poll.poll(&mut events, Some(Duration::from_millis(50))).unwrap();
            for receiver in &mut receivers {
                while receiver.receive(&mut received) {}
            }
        }
        received.sort_by_key(|(packet, _)| packet[0]);
        let seen: Vec<_> = received.iter().map(|(packet, from)| (packet.len(), *from)).collect();
        assert_eq!(seen, sizes.map(|size| (size, sender.address())).to_vec());
    }
}
