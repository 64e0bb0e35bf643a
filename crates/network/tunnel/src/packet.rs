//! Inner packets: reading the headers that decide where a packet goes, and building UDP and ICMP.
//!
//! IPv4 (RFC 791), UDP (RFC 768), ICMP "destination unreachable" (RFC 792) and the few fields of TCP
//! (RFC 9293) that open a flow. IPv6 and fragments are not read: `None`. Checksums of received packets
//! aren't checked, since the tunnel authenticates every byte.

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::{BufMut, BytesMut};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
const ICMP: u8 = 1;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// Both ends of a flow, as its opener sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
}

/// A whole IPv4 packet, without padding behind it.
pub(crate) struct Ipv4<'a> {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Reads a packet that isn't a fragment.
    pub(crate) fn parse(packet: &'a [u8]) -> Option<Self> {
        let &[version_and_length, _, t0, t1, _, _, f0, f1, _, protocol, _, _, ref addresses @ ..] =
            packet.first_chunk::<IP_HEADER>()?;
        let header = usize::from(version_and_length & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([t0, t1]));
        // More fragments follow, or this one isn't the first.
        let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
        if version_and_length >> 4 != 4 || header < IP_HEADER || fragment {
            return None;
        }
        let [s0, s1, s2, s3, d0, d1, d2, d3] = *addresses;
        Some(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            protocol,
            payload: packet.get(header..total)?,
        })
    }

    fn flow(&self, source_port: u16, destination_port: u16) -> FlowKey {
        FlowKey {
            source: SocketAddrV4::new(self.source, source_port),
            destination: SocketAddrV4::new(self.destination, destination_port),
        }
    }

    /// The flow and the payload of a UDP packet.
    pub(crate) fn udp(&self) -> Option<(FlowKey, &'a [u8])> {
        let &[s0, s1, d0, d1, l0, l1, _, _] = self.payload.first_chunk::<UDP_HEADER>()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let flow = self.flow(u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        (self.protocol == UDP).then_some((flow, self.payload.get(UDP_HEADER..length)?))
    }

    /// The flow and the opening of a TCP segment.
    pub(crate) fn tcp(&self) -> Option<(FlowKey, TcpOpening)> {
        let &[s0, s1, d0, d1, n0, n1, n2, n3, _, _, _, _, _, flags, ..] =
            self.payload.first_chunk::<20>()?;
        let flow = self.flow(u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        // Of FIN, SYN, RST and ACK, an opening segment has SYN alone.
        let opens = flags & 0b1_0111 == 0b0_0010;
        let sequence = u32::from_be_bytes([n0, n1, n2, n3]);
        (self.protocol == TCP).then_some((flow, TcpOpening { opens, sequence }))
    }

    /// The flow that an ICMP "destination unreachable" is about, and what is unreachable.
    pub(crate) fn unreachable(&self) -> Option<(u8, FlowKey, Unreachable)> {
        let (&[kind, code, ..], quoted) = self.payload.split_first_chunk::<8>()?;
        if self.protocol != ICMP || kind != 3 {
            return None;
        }
        // The quote is cut short, so its length field doesn't tell.
        let &[_, _, _, _, _, _, _, _, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
            quoted.first_chunk::<IP_HEADER>()?;
        let header = usize::from(quoted.first()? & 0x0f) * 4;
        let &[p0, p1, q0, q1] = quoted.get(header..)?.first_chunk::<4>()?;
        let flow = FlowKey {
            source: SocketAddrV4::new(Ipv4Addr::new(s0, s1, s2, s3), u16::from_be_bytes([p0, p1])),
            destination: SocketAddrV4::new(
                Ipv4Addr::new(d0, d1, d2, d3),
                u16::from_be_bytes([q0, q1]),
            ),
        };
        let what = if code == 3 { Unreachable::Port } else { Unreachable::Host };
        Some((protocol, flow, what))
    }
}

/// What a TCP segment says about opening a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpOpening {
    /// Whether the segment asks for a new connection.
    pub(crate) opens: bool,
    /// Its sequence number, which tells a repeated request from a new one.
    pub(crate) sequence: u32,
}

/// What couldn't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// ICMP code 1, and all others that aren't about a port.
    Host,
    /// ICMP code 3.
    Port,
}

/// A UDP packet that answers (or opens, on the other side) the flow from `from` to `to`; `None` when the
/// payload doesn't fit into `mtu` bytes: nothing is fragmented.
pub(crate) fn udp_packet(
    from: SocketAddrV4,
    to: SocketAddrV4,
    payload: &[u8],
    mtu: usize,
) -> Option<BytesMut> {
    let length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    if IP_HEADER + usize::from(length) > mtu {
        return None;
    }
    let mut packet = ip_header(*from.ip(), *to.ip(), UDP, usize::from(length))?;
    let pseudo = Sum::default()
        .add(&from.ip().octets())
        .add(&to.ip().octets())
        .add(&[0, UDP])
        .add(&length.to_be_bytes());
    let checksum = pseudo
        .add(&from.port().to_be_bytes())
        .add(&to.port().to_be_bytes())
        .add(&length.to_be_bytes())
        .add(payload)
        .finish();
    packet.put_u16(from.port());
    packet.put_u16(to.port());
    packet.put_u16(length);
    // Zero would mean "no checksum"; all ones is the same number in one's complement.
    packet.put_u16(if checksum == 0 { 0xffff } else { checksum });
    packet.put_slice(payload);
    Some(packet)
}

/// An ICMP message to the opener of `flow` that `what` can't be reached.
pub(crate) fn unreachable_packet(
    protocol: u8,
    flow: FlowKey,
    what: Unreachable,
) -> Option<BytesMut> {
    // The quoted header: addresses, protocol and ports are what a receiver looks at.
    let mut quote = ip_header(*flow.source.ip(), *flow.destination.ip(), protocol, UDP_HEADER)?;
    quote.put_u16(flow.source.port());
    quote.put_u16(flow.destination.port());
    quote.put_u32(0);
    let kind_and_code = [3, if what == Unreachable::Port { 3 } else { 1 }];
    let mut packet = ip_header(*flow.destination.ip(), *flow.source.ip(), ICMP, 8 + quote.len())?;
    packet.put_slice(&kind_and_code);
    packet.put_u16(Sum::default().add(&kind_and_code).add(&quote).finish());
    packet.put_u32(0);
    packet.put_slice(&quote);
    Some(packet)
}

/// A header without options; not to be fragmented, so it needs no identification (RFC 6864).
fn ip_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: usize) -> Option<BytesMut> {
    let total = u16::try_from(IP_HEADER + payload).ok()?;
    let mut start = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol];
    if let Some(field) = start.get_mut(2..4) {
        field.copy_from_slice(&total.to_be_bytes());
    }
    let checksum = Sum::default().add(&start).add(&from.octets()).add(&to.octets()).finish();
    let mut packet = BytesMut::with_capacity(usize::from(total));
    packet.put_slice(&start);
    packet.put_u16(checksum);
    packet.put_slice(&from.octets());
    packet.put_slice(&to.octets());
    Some(packet)
}

/// The internet checksum (RFC 1071): parts of even length, then perhaps an odd one.
#[derive(Clone, Copy, Default)]
struct Sum(u64);

impl Sum {
    fn add(self, part: &[u8]) -> Self {
        let (pairs, rest) = part.as_chunks::<2>();
        let sum: u64 = pairs.iter().map(|&pair| u64::from(u16::from_be_bytes(pair))).sum();
        let last = rest.first().map_or(0, |&byte| u64::from(byte) << 8);
        Self(self.0 + sum + last)
    }

    fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{Icmpv4Packet, Ipv4Packet, UdpPacket};

    fn flow() -> FlowKey {
        FlowKey {
            source: "100.64.0.9:5000".parse().unwrap(),
            destination: "127.0.0.1:53".parse().unwrap(),
        }
    }

    proptest! {
        /// Another implementation finds the checksums right and the payload where it belongs.
        #[test]
        fn udp_packets_are_well_formed(payload in prop::collection::vec(any::<u8>(), 0..1392)) {
            let FlowKey { source, destination } = flow();
            let packet = udp_packet(source, destination, &payload, 1420).unwrap();
            let ip = Ipv4Packet::new_checked(&packet[..]).unwrap();
            prop_assert!(ip.verify_checksum());
            let udp = UdpPacket::new_checked(ip.payload()).unwrap();
            prop_assert!(udp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
            let (seen, seen_payload) = Ipv4::parse(&packet).unwrap().udp().unwrap();
            prop_assert_eq!(seen, flow());
            prop_assert_eq!(seen_payload, &payload[..]);
        }

        #[test]
        fn no_bytes_make_the_readers_fail(
            packet in prop::collection::vec(any::<u8>(), 0..80),
            protocol in prop::sample::select(vec![1u8, 6, 17]),
        ) {
            let mut packet = packet;
            for (at, value) in [(0, 0x45), (2, 0), (6, 0), (7, 0), (9, protocol)] {
                if let Some(byte) = packet.get_mut(at) { *byte = value; }
            }
            if let Some(ip) = Ipv4::parse(&packet) {
                let _ = (ip.udp(), ip.tcp(), ip.unreachable());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_built() {
        let FlowKey { source, destination } = flow();
        assert!(udp_packet(source, destination, &[0; 1392], 1420).is_some());
        assert!(udp_packet(source, destination, &[0; 1393], 1420).is_none());
        assert!(udp_packet(source, destination, &[0; 70_000], usize::MAX).is_none());
    }

    #[test]
    fn unreachable_comes_back_as_it_was_sent() {
        for what in [Unreachable::Host, Unreachable::Port] {
            let packet = unreachable_packet(TCP, flow(), what).unwrap();
            let ip = Ipv4Packet::new_checked(&packet[..]).unwrap();
            assert!(ip.verify_checksum());
            assert!(Icmpv4Packet::new_checked(ip.payload()).unwrap().verify_checksum());
            let read = Ipv4::parse(&packet).unwrap();
            assert_eq!(read.destination, *flow().source.ip());
            assert_eq!(read.unreachable(), Some((TCP, flow(), what)));
        }
    }

    #[test]
    fn fragments_ipv6_and_short_packets_are_not_read() {
        let FlowKey { source, destination } = flow();
        let good = udp_packet(source, destination, b"payload", 1420).unwrap();
        let changed = |at: usize, value: u8| {
            let mut packet = good.clone();
            packet[at] = value;
            packet
        };
        assert!(Ipv4::parse(&good).is_some());
        assert!(Ipv4::parse(&changed(6, 0x20)).is_none(), "more fragments");
        assert!(Ipv4::parse(&changed(7, 1)).is_none(), "not the first fragment");
        assert!(Ipv4::parse(&changed(0, 0x65)).is_none(), "version 6");
        assert!(Ipv4::parse(&changed(0, 0x44)).is_none(), "header of 16 bytes");
        assert!(Ipv4::parse(&good[..good.len() - 1]).is_none(), "cut short");
    }
}
