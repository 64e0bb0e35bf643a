//! Whom an exit serves, how long, and what it takes.

use std::collections::HashSet;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Mutex;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::raw_peer::RawPeer;
use super::*;
use crate::packet::{Ipv4, UDP, Unreachable, udp_packet};
use crate::{NeverRule, TunnelError};

/// Long enough for an answer that is on its way, short enough to wait for none.
const A_MOMENT: Duration = Duration::from_millis(300);

fn v4(address: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(address) = address else { panic!("{address}") };
    address
}

#[test]
fn who_has_no_grant_hears_nothing() {
    let exit = TestExit::new(LOCAL);
    let mut stranger = RawPeer::new(&exit, &device(1));
    let initiation = stranger.initiation();
    stranger.send_outer(&initiation);
    assert_eq!(stranger.receive_outer(A_MOMENT), None);

    // Nor who had one that has expired, or that was taken back.
    let public_key = device(1).public();
    exit.handle.add_peer(PeerGrant {
        public_key,
        exit_address: [127, 0, 0, 1].into(),
        expires: 1000,
    });
    assert_eq!(exit.handle.peers(), 0);
    let initiation = stranger.initiation();
    stranger.send_outer(&initiation);
    assert_eq!(stranger.receive_outer(A_MOMENT), None);
    exit.grant(&device(1), [127, 0, 0, 1]);
    assert_eq!(exit.handle.peers(), 1);
    assert!(exit.handle.remove_peer(&public_key));
    assert!(!exit.handle.remove_peer(&public_key));
    let initiation = stranger.initiation();
    stranger.send_outer(&initiation);
    assert_eq!(stranger.receive_outer(A_MOMENT), None);

    // With a grant the same peer gets through.
    exit.grant(&device(1), [127, 0, 0, 1]);
    stranger.connect();
}

#[test]
fn a_client_without_a_grant_says_so() {
    let exit = TestExit::new(LOCAL);
    let client = exit.client(&device(1));
    let outcome = client.wait_connected(A_MOMENT);
    assert!(matches!(outcome, Err(TunnelError::NoHandshake(_))));
}

#[test]
fn a_grant_that_expires_ends_live_flows() {
    let (exit, client) = pair();
    let (to, accepted) = one_connection();
    let _near = connect(&client, to);
    let mut far = accepted.recv_timeout(PATIENCE).unwrap();
    exit.clock.store(1999, Ordering::SeqCst);
    // Still in force: the flow answers.
    far.write_all(b"x").unwrap();
    exit.clock.store(2000, Ordering::SeqCst);
    let error = far.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(exit.handle.peers(), 0);
}

/// One device by two keys of the exit's at a time, as while these change over; with the grant both tunnels end.
#[test]
fn a_former_key_is_served_beside_the_present_one() {
    let exit = TestExit::new(LOCAL);
    let device = device(7);
    exit.grant(&device, [127, 0, 0, 77]);
    let by = |key: &PeerSecret| {
        let peer_public_key = key.public();
        let config = ClientConfig { peer_public_key, ..exit.client_config(&device) };
        Client::spawn(config).unwrap()
    };
    let clients = [by(&exit.former_key), by(&exit.secret_key)];
    let (to, accepted) = one_connection();
    let flows = clients.each_ref().map(|client| {
        let near = connect(client, to);
        let far = accepted.recv_timeout(PATIENCE).unwrap();
        assert_eq!(far.peer_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 77]));
        (near, far)
    });
    assert_eq!(exit.handle.peers(), 1);
    assert!(
        by(&PeerSecret::from_bytes(&coarse::Secret::new([9; 32])))
            .wait_connected(A_MOMENT)
            .is_err()
    );
    exit.clock.store(2000, Ordering::SeqCst);
    for (_, mut far) in flows {
        let error = far.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_peer_that_is_removed_loses_its_flows_and_others_keep_theirs() {
    let (exit, client) = pair();
    exit.grant(&device(8), [127, 0, 0, 78]);
    let other = exit.client(&device(8));
    let (to, accepted) = one_connection();
    let _near = connect(&client, to);
    let mut far = accepted.recv_timeout(PATIENCE).unwrap();
    let mut kept = connect(&other, echo_server());
    assert_eq!(read_line(&mut kept), "127.0.0.78");

    exit.handle.remove_peer(&device(7).public());
    let error = far.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    kept.write_all(b"still here\n").unwrap();
    assert_eq!(read_line(&mut kept), "still here");
}

#[test]
fn another_exit_address_ends_flows_and_the_tunnel_stays() {
    let (exit, client) = pair();
    let (to, accepted) = one_connection();
    let _near = connect(&client, to);
    let mut far = accepted.recv_timeout(PATIENCE).unwrap();
    // The same grant again changes nothing.
    exit.grant(&device(7), [127, 0, 0, 77]);
    far.write_all(b"x").unwrap();
    exit.grant(&device(7), [127, 0, 0, 99]);
    let error = far.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut stream = connect(&client, echo_server());
    assert_eq!(read_line(&mut stream), "127.0.0.99");
}

#[test]
fn the_never_list_holds_in_local_mode() {
    let (secret, public) = (echo_server(), echo_server());
    let exit =
        TestExit::new(DestinationPolicy { local: true, never: vec![NeverRule::from(secret)] });
    exit.grant(&device(7), [127, 0, 0, 77]);
    let client = exit.client(&device(7));
    assert_eq!(socks(&client, "127.0.0.1", secret.port()).1, 5);
    assert_eq!(socks(&client, "localhost", secret.port()).1, 5);
    assert_eq!(socks(&client, "0.0.0.0", secret.port()).1, 4);
    connect(&client, public);
}

#[test]
fn without_local_mode_local_services_are_out_of_reach() {
    let exit = TestExit::new(DestinationPolicy::default());
    exit.grant(&device(7), [127, 0, 0, 77]);
    let client = exit.client(&device(7));
    let to = echo_server();
    assert_eq!(socks(&client, "127.0.0.1", to.port()).1, 5);
    assert_eq!(socks(&client, "localhost", to.port()).1, 5);
    // Nor by UDP: nothing arrives.
    exit.grant(&device(9), [127, 0, 0, 79]);
    let server = UdpSocket::bind(loopback(0)).unwrap();
    server.set_read_timeout(Some(A_MOMENT)).unwrap();
    let mut peer = RawPeer::new(&exit, &device(9)).connect();
    peer.send_udp(v4(server.local_addr().unwrap()), b"hello");
    assert!(server.recv(&mut [0; 10]).is_err());
}

#[test]
fn udp_leaves_from_the_exit_address_and_comes_back() {
    let exit = TestExit::new(LOCAL);
    exit.grant(&device(9), [127, 0, 0, 79]);
    let server = UdpSocket::bind(loopback(0)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = v4(server.local_addr().unwrap());
    let mut peer = RawPeer::new(&exit, &device(9)).connect();
    peer.send_udp(to, b"question");
    let mut buffer = [0; 100];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from.ip()), (&b"question"[..], [127, 0, 0, 79].into()));
    server.send_to(b"answer", from).unwrap();
    let packet = peer.receive(PATIENCE).unwrap();
    let (flow, payload) = Ipv4::parse(&packet).unwrap().udp().unwrap();
    assert_eq!((flow.source, payload), (to, &b"answer"[..]));

    drop(server);
    peer.send_udp(to, b"anybody?");
    let packet = peer.receive(PATIENCE).unwrap();
    let (protocol, flow, what) = Ipv4::parse(&packet).unwrap().unreachable().unwrap();
    assert_eq!((protocol, flow.destination, what), (UDP, to, Unreachable::Port));
}

#[test]
fn the_resolver_answers_inside_the_tunnel() {
    let exit = TestExit::new(LOCAL);
    exit.grant(&device(9), [127, 0, 0, 79]);
    let mut peer = RawPeer::new(&exit, &device(9)).connect();
    let mut ask = |name: &str, kind| {
        let mut message = Message::new(77, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        peer.send_udp(SocketAddrV4::new(INNER, 53), &message.to_vec().unwrap());
        let packet = peer.receive(PATIENCE).unwrap();
        let (flow, payload) = Ipv4::parse(&packet).unwrap().udp().unwrap();
        assert_eq!(flow.source, SocketAddrV4::new(INNER, 53));
        let answer = Message::from_vec(payload).unwrap();
        assert_eq!(answer.metadata.id, 77);
        answer
    };
    let answer = ask("localhost.", RecordType::A);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(
        answer
            .answers
            .iter()
            .any(|record| matches!(&record.data, RData::A(a) if a.0.is_loopback()))
    );
    let answer = ask("localhost.", RecordType::AAAA);
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
    let answer = ask("no.such.invalid.", RecordType::A);
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn garbage_does_not_stop_the_exit() {
    let (exit, client) = pair();
    exit.grant(&device(9), [127, 0, 0, 79]);
    let mut peer = RawPeer::new(&exit, &device(9)).connect();
    // Outside the tunnel: every type, many lengths.
    for kind in 0..6u8 {
        for length in [0, 1, 4, 16, 31, 32, 64, 92, 148, 149, 1400] {
            let mut datagram = vec![0x5a; length];
            for (byte, value) in datagram.iter_mut().zip([kind, 0, 0, 0]) {
                *byte = value;
            }
            peer.send_outer(&datagram);
        }
    }
    // Inside: every protocol, headers that lie, fragments, IPv6, TCP flags at random.
    let good = udp_packet(
        "100.64.0.2:1".parse().unwrap(),
        "127.0.0.1:9".parse().unwrap(),
        &[0xa5; 40],
        1420,
    )
    .unwrap();
    for protocol in [0u8, 1, 2, 6, 17, 41, 255] {
        for (at, value) in
            [(0, 0x45), (0, 0x4f), (0, 0x65), (2, 0xff), (3, 1), (6, 0x20), (33, 2), (32, 0)]
        {
            let mut packet = good.to_vec();
            packet[9] = protocol;
            packet[at] = value;
            peer.send(&packet);
            peer.send(&packet[..21]);
        }
    }
    for flags in 0..=255u8 {
        let mut packet = good.to_vec();
        (packet[9], packet[33], packet[32]) = (6, flags, 0x50);
        peer.send(&packet);
    }
    let mut stream = connect(&client, echo_server());
    assert_eq!(read_line(&mut stream), "127.0.0.77");
}

#[test]
fn too_many_flows_of_one_peer_are_refused() {
    let limits = Limits { tcp_flows: 2, ..Limits::default() };
    let exit = TestExit::observed(LOCAL, limits, ());
    exit.grant(&device(7), [127, 0, 0, 77]);
    let client = exit.client(&device(7));
    let to = echo_server();
    let first = connect(&client, to);
    let _second = connect(&client, to);
    assert_eq!(socks(&client, "127.0.0.1", to.port()).1, 5);
    drop(first);
    eventually("room for another", || socks(&client, "127.0.0.1", to.port()).1 == 0);
}

#[test]
fn a_destination_that_is_silent_is_given_up_without_haste() {
    let connect = Duration::from_millis(500);
    let exit = TestExit::observed(LOCAL, Limits { connect, ..Limits::default() }, ());
    exit.grant(&device(7), [127, 0, 0, 77]);
    let client = exit.client(&device(7));
    client.wait_connected(PATIENCE).unwrap();
    // A queue of one that is full: the system drops further requests.
    let kind = socket2::Type::STREAM;
    let listener = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
    listener.bind(&loopback(0).into()).unwrap();
    listener.listen(0).unwrap();
    let to = listener.local_addr().unwrap().as_socket().unwrap();
    let waiting = TcpStream::connect(to).unwrap();

    let (turns, start) = (exit.turns.load(Ordering::SeqCst), Instant::now());
    assert_eq!(socks(&client, "127.0.0.1", to.port()).1, 4);
    assert!(start.elapsed() >= connect);
    let turns = exit.turns.load(Ordering::SeqCst) - turns;
    assert!(turns < 100, "{turns} turns of the loop for one connection under way");
    drop(waiting);
}

#[test]
fn flows_that_are_idle_for_too_long_end() {
    let tcp_idle = Duration::from_millis(300);
    let exit = TestExit::observed(LOCAL, Limits { tcp_idle, ..Limits::default() }, ());
    exit.grant(&device(7), [127, 0, 0, 77]);
    let client = exit.client(&device(7));
    let (to, accepted) = one_connection();
    let mut near = connect(&client, to);
    let mut far = accepted.recv_timeout(PATIENCE).unwrap();
    for stream in [&mut near, &mut far] {
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn under_load_an_initiator_must_show_its_address() {
    let limits = Limits { handshakes_per_second: 0, ..Limits::default() };
    let exit = TestExit::observed(LOCAL, limits, ());
    exit.grant(&device(1), [127, 0, 0, 1]);
    let mut peer = RawPeer::new(&exit, &device(1));
    let initiation = peer.initiation();
    peer.send_outer(&initiation);
    let cookie = peer.receive_outer(PATIENCE).unwrap();
    assert_eq!((cookie[0], cookie.len()), (3, 64), "a cookie reply");
    peer.take_cookie(&cookie);
    peer.connect();
}

/// Strangers cost one opening each, and no peer, no packet and no memory come of it.
#[test]
fn a_flood_of_strangers_makes_no_peer_and_gets_no_answer() {
    let exit = TestExit::new(LOCAL);
    let mut stranger = RawPeer::new(&exit, &device(1));
    for _ in 0..100 {
        let initiation = stranger.initiation();
        stranger.send_outer(&initiation);
    }
    eventually("the flood", || exit.handle.watch().handshakes().strangers == 100);
    let expected = crate::Handshakes { strangers: 100, ..crate::Handshakes::default() };
    assert_eq!(exit.handle.watch().handshakes(), expected);
    assert_eq!(stranger.receive_outer(A_MOMENT), None);
}

/// Beyond what all may have together nothing is opened, whoever sends it: there are cookies.
#[test]
fn under_a_flood_from_everywhere_all_get_cookies() {
    let limits = Limits { handshakes_in_all: 0, ..Limits::default() };
    let exit = TestExit::observed(LOCAL, limits, ());
    exit.grant(&device(1), [127, 0, 0, 1]);
    let mut stranger = RawPeer::new(&exit, &device(2));
    for _ in 0..50 {
        let initiation = stranger.initiation();
        stranger.send_outer(&initiation);
        let cookie = stranger.receive_outer(PATIENCE).unwrap();
        assert_eq!((cookie[0], cookie.len()), (3, 64), "a cookie reply");
    }
    let expected = crate::Handshakes { cookies: 50, ..crate::Handshakes::default() };
    assert_eq!(exit.handle.watch().handshakes(), expected, "none was opened");
    // Who has a grant gets through with its cookie, by either of the exit's keys.
    for (taken, key) in [(1, &exit.secret_key), (2, &exit.former_key)] {
        let mut peer = RawPeer::by(&exit, key, &device(1));
        let initiation = peer.initiation();
        peer.send_outer(&initiation);
        let cookie = peer.receive_outer(PATIENCE).unwrap();
        peer.take_cookie(&cookie);
        peer.connect();
        assert_eq!(exit.handle.watch().handshakes().taken, taken);
    }
}

/// What isn't made for the exit's key counts for nothing: no stranger to that key puts it under load.
#[test]
fn messages_without_a_right_mac_put_nobody_under_load() {
    let limits = Limits { handshakes_in_all: 1, ..Limits::default() };
    let exit = TestExit::observed(LOCAL, limits, ());
    exit.grant(&device(1), [127, 0, 0, 1]);
    let mut peer = RawPeer::new(&exit, &device(1));
    let mut forged = peer.initiation();
    forged[120] ^= 1;
    for _ in 0..50 {
        peer.send_outer(&forged);
    }
    peer.connect();
    let expected = crate::Handshakes { taken: 1, ..crate::Handshakes::default() };
    assert_eq!(exit.handle.watch().handshakes(), expected);
}

#[test]
fn an_observer_sees_both_sides_of_the_tunnel() {
    #[derive(Default)]
    struct Seen {
        sources: HashSet<SocketAddr>,
        packets: Vec<Vec<u8>>,
    }
    struct Watcher(Arc<Mutex<Seen>>);
    impl Observer for Watcher {
        fn inner_packet(&mut self, packet: &[u8]) {
            self.0.lock().unwrap().packets.push(packet.to_vec());
        }
        fn datagram(&mut self, source: SocketAddr, bytes: &[u8]) {
            assert!(!bytes.is_empty());
            self.0.lock().unwrap().sources.insert(source);
        }
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let exit = TestExit::observed(LOCAL, Limits::default(), Watcher(Arc::clone(&seen)));
    exit.grant(&device(9), [127, 0, 0, 79]);
    let mut peer = RawPeer::new(&exit, &device(9)).connect();
    let from = "100.64.0.2:4000".parse().unwrap();
    let packet = udp_packet(from, "127.0.0.1:9".parse().unwrap(), b"seen", 1420).unwrap();
    peer.send(&packet);
    eventually("the packet", || seen.lock().unwrap().packets.contains(&packet.to_vec()));
    let source = peer.socket.local_addr().unwrap();
    assert_eq!(seen.lock().unwrap().sources, HashSet::from([source]));
}

#[test]
fn shutting_down_ends_flows_and_frees_the_port() {
    let (exit, client) = pair();
    let (to, accepted) = one_connection();
    let _near = connect(&client, to);
    let mut far = accepted.recv_timeout(PATIENCE).unwrap();
    exit.handle.shutdown();
    exit.handle.shutdown();
    assert!(far.read(&mut [0]).is_err());
    UdpSocket::bind(exit.handle.listen_addr()).unwrap();
}
