//! A peer driven by hand: a tunnel without a stack, for packets that no client would send.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gotatun::noise::index_table::IndexTable;
use gotatun::noise::rate_limiter::RateLimiter;
use gotatun::noise::{Tunn, TunnResult};
use gotatun::packet::Packet;

use super::{PATIENCE, TestExit, loopback};
use peer_key::PeerSecret;

use crate::keys::ToX25519 as _;
use crate::packet::udp_packet;

/// A device's tunnel.
pub(super) struct RawPeer {
    pub(super) tunn: Tunn,
    pub(super) socket: UdpSocket,
    exit: SocketAddr,
}

impl RawPeer {
    pub(super) fn new(exit: &TestExit, device: &PeerSecret) -> Self {
        Self::by(exit, &exit.secret_key, device)
    }

    /// A device that knows the exit by this key.
    pub(super) fn by(exit: &TestExit, key: &PeerSecret, device: &PeerSecret) -> Self {
        let public = device.public().to_x25519();
        let tunn = Tunn::new(
            device.to_x25519(),
            key.public().to_x25519(),
            None,
            None,
            IndexTable::from_os_rng(),
            Arc::new(RateLimiter::new(&public, 1000)),
        );
        let socket = UdpSocket::bind(loopback(0)).unwrap();
        Self { tunn, socket, exit: exit.handle.listen_addr() }
    }

    /// A handshake's first message.
    pub(super) fn initiation(&mut self) -> Vec<u8> {
        let packet = self.tunn.format_handshake_initiation(true).unwrap();
        Packet::<[u8]>::from(packet).to_vec()
    }

    pub(super) fn send_outer(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.exit).unwrap();
    }

    /// The next datagram that comes within `time`.
    pub(super) fn receive_outer(&self, time: Duration) -> Option<Vec<u8>> {
        let mut buffer = [0; 2000];
        self.socket.set_read_timeout(Some(time)).unwrap();
        self.socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
    }

    /// Takes in a cookie reply: the next initiation shows it.
    pub(super) fn take_cookie(&mut self, reply: &[u8]) {
        let reply = Packet::from_bytes(BytesMut::from(reply)).try_into_wg().unwrap();
        self.tunn.handle_incoming_packet(reply);
    }

    /// Makes the handshake.
    pub(super) fn connect(mut self) -> Self {
        let initiation = self.initiation();
        self.send_outer(&initiation);
        let response = self.receive_outer(PATIENCE).unwrap();
        let response = Packet::from_bytes(BytesMut::from(&response[..])).try_into_wg().unwrap();
        match self.tunn.handle_incoming_packet(response) {
            TunnResult::WriteToNetwork(keepalive) => {
                self.send_outer(&Packet::<[u8]>::from(keepalive))
            }
            other => panic!("{other:?}"),
        }
        self
    }

    /// Sends an inner packet.
    pub(super) fn send(&mut self, packet: &[u8]) {
        let packet = Packet::from_bytes(BytesMut::from(packet));
        let sealed = self.tunn.handle_outgoing_packet(packet, None).unwrap();
        self.send_outer(&Packet::<[u8]>::from(sealed));
    }

    pub(super) fn send_udp(&mut self, to: SocketAddrV4, payload: &[u8]) {
        let from = "100.64.0.2:4000".parse().unwrap();
        self.send(&udp_packet(from, to, payload, 1420).unwrap());
    }

    /// The next inner packet that comes within `time` and isn't empty.
    pub(super) fn receive(&mut self, time: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let datagram = self.receive_outer(left.max(Duration::from_millis(1)))?;
            let packet = Packet::from_bytes(BytesMut::from(&datagram[..])).try_into_wg().unwrap();
            match self.tunn.handle_incoming_packet(packet) {
                TunnResult::WriteToTunnel(inner) if !inner.is_empty() => {
                    let length = usize::from(u16::from_be_bytes([inner[2], inner[3]]));
                    return Some(inner[..length].to_vec());
                }
                _ => {}
            }
        }
    }
}
