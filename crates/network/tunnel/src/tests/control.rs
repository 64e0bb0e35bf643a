//! Flows to the exit itself: whose they are, and that there are no others.

use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, sync_channel};

use peer_key::PeerKey;

use super::raw_peer::RawPeer;
use super::*;
use crate::packet::{Ipv4, TCP};
use crate::{ControlFlow, Network, NeverRule};

const PORT: u16 = 3006;
const HOST: &str = "100.64.0.1";

/// An exit that takes flows to its control port in, as many as `room` at a time, and those flows.
fn exit(
    policy: DestinationPolicy,
    limits: Limits,
    room: usize,
) -> (TestExit, Receiver<ControlFlow>) {
    exit_at(PORT, policy, limits, room)
}

fn exit_at(
    port: u16,
    policy: DestinationPolicy,
    limits: Limits,
    room: usize,
) -> (TestExit, Receiver<ControlFlow>) {
    let (sender, flows) = sync_channel(room);
    let take = Box::new(move |flow| sender.try_send(flow).is_ok());
    let control = Control { port, take };
    let exit = TestExit::with(policy, limits, Some(control), ());
    exit.grant(&device(7), [127, 0, 0, 77]);
    (exit, flows)
}

fn next(flows: &Receiver<ControlFlow>) -> (PeerKey, UnixStream) {
    let ControlFlow { peer, stream } = flows.recv_timeout(PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (peer, stream)
}

fn open_control(client: &ClientHandle) -> TcpStream {
    let (stream, code) = socks(client, HOST, PORT);
    assert_eq!(code, 0);
    stream
}

#[test]
fn a_flow_to_the_control_port_comes_with_its_peers_key() {
    let (exit, flows) = exit(LOCAL, Limits::default(), 8);
    let client = exit.client(&device(7));
    let mut near = open_control(&client);
    near.write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let (peer, mut far) = next(&flows);
    assert_eq!(peer, device(7).public());
    let mut heard = String::new();
    far.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "question");
    // More than any buffer on the way holds.
    let answer = vec![b'a'; 3 << 20];
    let writer = thread::spawn(move || far.write_all(&answer).map(|()| answer.len()));
    let mut received = Vec::new();
    near.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), writer.join().unwrap().unwrap());
}

#[test]
fn all_other_ports_and_addresses_are_as_before() {
    let listener = TcpListener::bind("127.0.0.9:0").unwrap();
    let control = listener.local_addr().unwrap().port();
    let (exit, flows) = exit_at(control, LOCAL, Limits::default(), 8);
    let client = exit.client(&device(7));
    for port in [1, 53, 80, control - 1, control ^ 1, 65_535] {
        assert_eq!(socks(&client, HOST, port).1, 5, "{port}");
    }
    // Another address on that port goes where the policy lets it go, out of the host.
    let _near = connect(&client, listener.local_addr().unwrap());
    assert!(flows.try_recv().is_err());
    assert_eq!(listener.accept().unwrap().1.ip(), IpAddr::from([127, 0, 0, 77]));
    // Nor is it there when nobody answers for the exit.
    let (_exit, client) = pair();
    assert_eq!(socks(&client, HOST, control).1, 5);
}

#[test]
fn no_destination_policy_closes_it_and_it_opens_no_destination() {
    let everything = "0.0.0.0/0".parse::<Network>().unwrap();
    let policy = DestinationPolicy { local: false, never: vec![NeverRule::from(everything)] };
    let (exit, flows) = exit(policy, Limits::default(), 8);
    let client = exit.client(&device(7));
    let _near = open_control(&client);
    assert_eq!(next(&flows).0, device(7).public());
    let to = echo_server();
    assert_eq!(socks(&client, "127.0.0.1", to.port()).1, 5);
}

#[test]
fn a_peer_has_few_of_them_and_they_count_among_its_flows() {
    let limits = Limits { control_flows: 2, tcp_flows: 3, ..Limits::default() };
    let (exit, flows) = exit(LOCAL, limits, 8);
    let client = exit.client(&device(7));
    let first = open_control(&client);
    let second = open_control(&client);
    assert_eq!(socks(&client, HOST, PORT).1, 5, "a third");
    let to = echo_server();
    let _third = connect(&client, to);
    assert_eq!(socks(&client, "127.0.0.1", to.port()).1, 5, "no fourth flow of any kind");
    // Others have their own.
    exit.grant(&device(8), [127, 0, 0, 78]);
    let _other = open_control(&exit.client(&device(8)));
    drop((first, second));
    for _ in 0..2 {
        drop(next(&flows));
    }
    eventually("room for another", || socks(&client, HOST, PORT).1 == 0);
}

#[test]
fn who_does_not_take_a_flow_refuses_it() {
    let (exit, flows) = exit(LOCAL, Limits::default(), 1);
    let client = exit.client(&device(7));
    let _first = open_control(&client);
    assert_eq!(socks(&client, HOST, PORT).1, 5);
    next(&flows);
    open_control(&client);
    drop(flows);
    assert_eq!(socks(&client, HOST, PORT).1, 5);
}

#[test]
fn a_flow_ends_with_its_peers_grant() {
    let (exit, flows) = exit(LOCAL, Limits::default(), 8);
    exit.grant(&device(8), [127, 0, 0, 78]);
    let (ended, kept) = (exit.client(&device(7)), exit.client(&device(8)));
    let _near = open_control(&ended);
    let (peer, mut far) = next(&flows);
    let mut other_near = open_control(&kept);
    let (_, mut other_far) = next(&flows);
    assert!(exit.handle.remove_peer(&peer));
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    other_far.write_all(b"still here\n").unwrap();
    assert_eq!(read_line(&mut other_near), "still here");
}

/// Whoever refuses a request needn't hear it to its end, and the refusal arrives all the same.
#[test]
fn an_answer_arrives_whatever_was_left_unread() {
    let (exit, flows) = exit(LOCAL, Limits::default(), 8);
    let client = exit.client(&device(7));
    for _ in 0..20 {
        let mut near = None;
        // Former flows end once all that was said in them has come through.
        eventually("room", || {
            let (stream, code) = socks(&client, HOST, PORT);
            near = (code == 0).then_some(stream);
            near.is_some()
        });
        let mut near = near.unwrap();
        let (_, mut far) = next(&flows);
        let mut talker = near.try_clone().unwrap();
        let talking = thread::spawn(move || talker.write_all(&vec![b'q'; 2 << 20]));
        far.read_exact(&mut [0; 100]).unwrap();
        far.write_all(&[b'a'; 5000]).unwrap();
        drop(far);
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), 5000);
        talking.join().unwrap().unwrap();
    }
}

/// Two peers use the same inner address and port at the same time, and one of them again and again, leaving flows behind
/// that nobody has looked at yet: each flow's bytes are those of the peer whose key came with it.
#[test]
fn ports_that_are_used_again_mix_nobody_up() {
    let (exit, flows) = exit(LOCAL, Limits::default(), 64);
    exit.grant(&device(8), [127, 0, 0, 78]);
    let mut peers = [7, 8].map(|seed| (seed, RawPeer::new(&exit, &device(seed)).connect()));
    for round in 0..6_u8 {
        for (seed, peer) in &mut peers {
            say_and_reset(peer, 4000, &[*seed, round]);
        }
    }
    // Only now somebody looks.
    let mut heard = Vec::new();
    for _ in 0..12 {
        let (peer, mut far) = next(&flows);
        let mut said = Vec::new();
        far.read_to_end(&mut said).unwrap();
        let [seed, round] = said[..] else { panic!("{said:?}") };
        assert_eq!(peer, device(seed).public());
        heard.push((seed, round));
    }
    heard.sort_unstable();
    let all = [7, 8].iter().flat_map(|seed| (0..6).map(move |round| (*seed, round)));
    assert!(heard.into_iter().eq(all));
}

/// Opens a flow to the control port from a port of the device, says something, and breaks the flow off once that has
/// arrived.
fn say_and_reset(peer: &mut RawPeer, port: u16, bytes: &[u8]) {
    const START: u32 = 7000;
    let from = SocketAddrV4::new([100, 64, 0, 2].into(), port);
    let to = SocketAddrV4::new(INNER, PORT);
    let mut send = |flags, sequence, acknowledged, payload: &[u8]| {
        peer.send(&segment(from, to, flags, (sequence, acknowledged), payload));
    };
    send(SYN, START, 0, &[]);
    let theirs = receive_tcp(peer, SYN | ACK).0;
    let mut send = |flags, sequence, acknowledged, payload: &[u8]| {
        peer.send(&segment(from, to, flags, (sequence, acknowledged), payload));
    };
    send(ACK, START + 1, theirs + 1, bytes);
    let length = u32::try_from(bytes.len()).unwrap();
    while receive_tcp(peer, ACK).1 != START + 1 + length {}
    peer.send(&segment(from, to, RST, (START + 1 + length, 0), &[]));
}

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A TCP segment (RFC 9293 section 3.1) without options. Nobody looks at its checksum: the tunnel authenticates what comes.
fn segment(
    from: SocketAddrV4,
    to: SocketAddrV4,
    flags: u8,
    (sequence, acknowledged): (u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(40 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, TCP, 0, 0]);
    packet.extend([from.ip().octets(), to.ip().octets()].concat());
    packet.extend([from.port().to_be_bytes(), to.port().to_be_bytes()].concat());
    packet.extend([sequence.to_be_bytes(), acknowledged.to_be_bytes()].concat());
    packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

/// The next TCP segment with these flags: its sequence number, and what it acknowledges.
fn receive_tcp(peer: &mut RawPeer, flags: u8) -> (u32, u32) {
    loop {
        let packet = peer.receive(PATIENCE).unwrap();
        let ip = Ipv4::parse(&packet).unwrap();
        let number = |at: usize| u32::from_be_bytes(ip.payload[at..at + 4].try_into().unwrap());
        assert_eq!(ip.payload[13] & RST, 0, "a reset");
        if ip.payload[13] & flags == flags {
            return (number(4), number(8));
        }
    }
}
