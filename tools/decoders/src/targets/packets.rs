//! Inner packets, against smoltcp's reading of them, and those that are built here.

use std::net::SocketAddrV4;

use smoltcp::wire::{Icmpv4Packet, IpProtocol, Ipv4Address, Ipv4Packet, TcpPacket, UdpPacket};
use tunnel::reading::{Content, Flow, datagram, inner};

/// Reads a packet; then builds one around the input.
pub(crate) fn check(input: &[u8]) {
    read(input);
    built(input);
}

fn read(input: &[u8]) {
    let Some(ours) = inner(input) else { return };
    let theirs = Ipv4Packet::new_checked(input).expect("smoltcp reads it, too");
    assert_eq!((theirs.version(), theirs.more_frags(), theirs.frag_offset()), (4, false, 0));
    assert_eq!((theirs.src_addr(), theirs.dst_addr()), (ours.source, ours.destination));
    assert_eq!(u8::from(theirs.next_header()), ours.protocol);
    assert_eq!(theirs.payload(), ours.payload);
    let ends = |flow: Flow| (*flow.source.ip(), *flow.destination.ip());
    match ours.content {
        Content::Udp(flow, payload) => {
            assert_eq!((theirs.next_header(), ends(flow)), (IpProtocol::Udp, addresses(&theirs)));
            let udp = UdpPacket::new_checked(theirs.payload()).expect("a datagram");
            assert_eq!(
                (udp.src_port(), udp.dst_port()),
                (flow.source.port(), flow.destination.port())
            );
            assert_eq!(udp.payload(), payload);
        }
        Content::Tcp { flow, opens, sequence } => {
            assert_eq!((theirs.next_header(), ends(flow)), (IpProtocol::Tcp, addresses(&theirs)));
            let tcp = TcpPacket::new_unchecked(theirs.payload());
            assert_eq!(
                (tcp.src_port(), tcp.dst_port()),
                (flow.source.port(), flow.destination.port())
            );
            assert_eq!(tcp.seq_number().0.cast_unsigned(), sequence);
            assert_eq!(opens, tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin());
        }
        Content::Unreachable(..) => {
            let icmp = Icmpv4Packet::new_checked(theirs.payload()).expect("a message");
            assert_eq!(u8::from(icmp.msg_type()), 3);
        }
        Content::Other => {}
    }
    // What is behind the packet is padding, and changes nothing.
    let length = usize::from(theirs.total_len());
    assert_eq!(inner(&input[..length]), Some(ours));
}

fn addresses(packet: &Ipv4Packet<&[u8]>) -> (Ipv4Address, Ipv4Address) {
    (packet.src_addr(), packet.dst_addr())
}

/// A datagram that is built is read as it was meant, here and by smoltcp, checksums and all.
fn built(input: &[u8]) {
    let Some((ends, payload)) = input.split_first_chunk::<14>() else { return };
    let [a, b, c, d, p, q, e, f, g, h, r, s, m, n] = *ends;
    let flow = Flow {
        source: SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([p, q])),
        destination: SocketAddrV4::new([e, f, g, h].into(), u16::from_be_bytes([r, s])),
    };
    let mtu = usize::from(u16::from_be_bytes([m, n]));
    let Some(packet) = datagram(flow, payload, mtu) else {
        return assert!(28 + payload.len() > mtu);
    };
    assert!(packet.len() == 28 + payload.len() && packet.len() <= mtu);
    let read = inner(&packet).expect("our own");
    assert_eq!(read.content, Content::Udp(flow, payload));
    let theirs = Ipv4Packet::new_checked(packet.as_slice()).expect("a packet");
    assert!(theirs.verify_checksum());
    let udp = UdpPacket::new_checked(theirs.payload()).expect("a datagram");
    assert!(udp.verify_checksum(&theirs.src_addr().into(), &theirs.dst_addr().into()));
}

/// A flow between the two ends of a tunnel.
pub(crate) fn flow(port: u16) -> Flow {
    Flow {
        source: SocketAddrV4::new([100, 64, 0, 2].into(), 4000),
        destination: SocketAddrV4::new([100, 64, 0, 1].into(), port),
    }
}

/// An opening TCP segment.
pub(crate) fn opening() -> Vec<u8> {
    let mut packet = datagram(flow(80), &[0; 12], 1420).expect("it fits");
    packet[9] = 6;
    // Sequence number 1, an offset of five words, SYN, a window.
    packet[24..].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0]);
    packet
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let udp = datagram(flow(53), b"question", 1420).expect("it fits");
    let mut icmp = datagram(flow(1), &udp, 1420).expect("it fits");
    icmp[9] = 1;
    icmp[20..28].copy_from_slice(&[3, 3, 0, 0, 0, 0, 0, 0]);
    let mut fragment = udp.clone();
    fragment[6] = 0x20;
    let padded = [udp.as_slice(), &[0; 11]].concat();
    vec![
        udp,
        icmp,
        opening(),
        fragment,
        padded,
        [&[100, 64, 0, 2, 1, 2, 100, 64, 0, 1, 0, 53, 5, 0][..], b"hi"].concat(),
    ]
}
