//! What becomes of the bytes.

use super::*;

/// Bytes that repeat nowhere near.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn large_transfers_arrive_whole_in_both_directions_at_once() {
    const LENGTH: usize = 20 << 20;
    let (_exit, client) = pair();
    let (to, accepted) = one_connection();
    let near = connect(&client, to);
    let far = accepted.recv_timeout(PATIENCE).unwrap();
    let expected = blake3::hash(&noise(LENGTH));

    let both = [near, far].map(|mut stream| {
        let mut writer = stream.try_clone().unwrap();
        thread::spawn(move || {
            writer.write_all(&noise(LENGTH)).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        thread::spawn(move || {
            let mut received = Vec::with_capacity(LENGTH);
            stream.read_to_end(&mut received).unwrap();
            (received.len(), blake3::hash(&received))
        })
    });
    for reader in both {
        assert_eq!(reader.join().unwrap(), (LENGTH, expected));
    }
}

#[test]
fn half_closes_pass_both_ways() {
    let (_exit, client) = pair();
    let (to, accepted) = one_connection();

    // The near end finishes first, and still hears the answer.
    let mut near = connect(&client, to);
    let mut far = accepted.recv_timeout(PATIENCE).unwrap();
    near.write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "question");
    far.write_all(b"answer").unwrap();
    drop(far);
    heard.clear();
    near.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "answer");

    // The far end finishes first, and still hears the rest.
    let mut near = connect(&client, to);
    let mut far = accepted.recv_timeout(PATIENCE).unwrap();
    far.write_all(b"greeting").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    heard.clear();
    near.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "greeting");
    near.write_all(b"farewell").unwrap();
    drop(near);
    heard.clear();
    far.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "farewell");
}

#[test]
fn a_reset_is_passed_on_as_a_reset() {
    let (_exit, client) = pair();
    let (to, accepted) = one_connection();
    let reset = |stream: TcpStream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    };
    let mut near = connect(&client, to);
    reset(accepted.recv_timeout(PATIENCE).unwrap());
    assert_eq!(near.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);

    let near = connect(&client, to);
    let mut far = accepted.recv_timeout(PATIENCE).unwrap();
    reset(near);
    assert_eq!(far.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn fifty_connections_at_once_do_not_mix() {
    let (_exit, client) = pair();
    let to = echo_server();
    let threads: Vec<_> = (0..50)
        .map(|number| {
            let client = client.clone();
            thread::spawn(move || {
                let mut stream = connect(&client, to);
                assert_eq!(read_line(&mut stream), "127.0.0.77");
                let sent = format!("{number} ").repeat(20_000);
                let mut writer = stream.try_clone().unwrap();
                let bytes = sent.clone();
                thread::spawn(move || {
                    writer.write_all(bytes.as_bytes()).unwrap();
                    writer.shutdown(Shutdown::Write).unwrap();
                });
                let mut heard = String::new();
                stream.read_to_string(&mut heard).unwrap();
                assert!(heard == sent, "connection {number}");
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn two_peers_leave_from_their_own_addresses() {
    let exit = TestExit::new(LOCAL);
    let to = echo_server();
    let clients: Vec<_> = [(1, "127.0.0.81"), (2, "127.0.0.82")]
        .into_iter()
        .map(|(seed, address)| {
            exit.grant(&device(seed), address.parse::<IpAddr>().unwrap());
            (exit.client(&device(seed)), address)
        })
        .collect();
    assert_eq!(exit.handle.peers(), 2);
    // Both at once, and in turn, twice.
    for _ in 0..2 {
        let streams: Vec<_> =
            clients.iter().map(|(client, address)| (connect(client, to), address)).collect();
        for (mut stream, address) in streams {
            assert_eq!(read_line(&mut stream), *address);
        }
    }
}
