//! What a user of the proxy sees.

use super::*;
use crate::TunnelError;

#[test]
fn socks_and_http_both_leave_from_the_exit_address() {
    let (_exit, client) = pair();
    let to = echo_server();
    let (mut stream, code) = socks(&client, "127.0.0.1", to.port());
    assert_eq!(code, 0);
    assert_eq!(read_line(&mut stream), "127.0.0.77");
    stream.write_all(b"through the tunnel\n").unwrap();
    assert_eq!(read_line(&mut stream), "through the tunnel");

    let head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    let (mut stream, response) = http(&client, &head);
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(read_line(&mut stream), "127.0.0.77");
}

#[test]
fn names_are_looked_up_at_the_exit() {
    let (_exit, client) = pair();
    let to = echo_server();
    let (mut stream, code) = socks(&client, "localhost", to.port());
    assert_eq!(code, 0);
    assert_eq!(read_line(&mut stream), "127.0.0.77");
    let head = format!("CONNECT LocalHost.:{} HTTP/1.1\r\n\r\n", to.port());
    let (mut stream, response) = http(&client, &head);
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(read_line(&mut stream), "127.0.0.77");
}

#[test]
fn bytes_sent_before_the_answer_are_not_lost() {
    let (_exit, client) = pair();
    let to = echo_server();
    let head = format!("CONNECT {to} HTTP/1.1\r\n\r\nearly bird\n");
    let (mut stream, response) = http(&client, &head);
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(read_line(&mut stream), "127.0.0.77");
    assert_eq!(read_line(&mut stream), "early bird");
}

#[test]
fn each_failure_is_reported_as_what_it_is() {
    let (_exit, client) = pair();
    let closed = closed_port();
    assert_eq!(socks(&client, "127.0.0.1", closed.port()).1, 5);
    assert_eq!(socks(&client, "nowhere.invalid", 80).1, 4);
    assert_eq!(socks(&client, "::1", 80).1, 8);
    // From an address of loopback there is no way out: unreachable.
    assert_eq!(socks(&client, "192.0.2.1", 80).1, 4);
    for (authority, status, error) in [
        (closed.to_string(), "502", "connection_refused"),
        ("nowhere.invalid:80".into(), "502", "dns_error"),
        ("[::1]:80".into(), "502", "destination_ip_unroutable"),
        ("192.0.2.1:80".into(), "502", "destination_unavailable"),
    ] {
        let (mut stream, response) =
            http(&client, &format!("CONNECT {authority} HTTP/1.1\r\n\r\n"));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert!(response.contains(&format!("error={error}")), "{response}");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed after the refusal");
    }
    let (_, response) = http(&client, "GET http://example.com/ HTTP/1.1\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
    assert!(response.contains("\r\nAllow: CONNECT\r\n"), "{response}");
}

#[test]
fn nonsense_does_not_stop_the_proxy() {
    let (_exit, client) = pair();
    for bytes in [
        &b""[..],
        b"\x05",
        b"\x05\x00",
        b"\x05\x01\x00\x05\x01\x00\x03",
        b"\x16\x03\x01\x02\x00",
        &[0xff; 100_000],
        &[b'\r'; 100_000],
    ] {
        let mut stream = open(&client);
        // The proxy may have closed before all is sent.
        let _ = stream.write_all(bytes);
        drop(stream);
    }
    let mut stream = connect(&client, echo_server());
    assert_eq!(read_line(&mut stream), "127.0.0.77");
}

#[test]
fn the_proxy_listens_on_loopback_only() {
    let exit = TestExit::new(LOCAL);
    let mut config = exit.client_config(&device(7));
    config.proxy_listen = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(Client::spawn(config), Err(TunnelError::NotLoopback(_))));
    let mut config = exit.client_config(&device(7));
    config.mtu = 500;
    assert!(matches!(Client::spawn(config), Err(TunnelError::Mtu(500))));
}

#[test]
fn the_status_follows_the_tunnel() {
    let (_exit, client) = pair();
    let before = client.status();
    assert_eq!((before.handshake_age, before.open_flows), (None, 0));
    client.wait_connected(PATIENCE).unwrap();
    assert!(client.status().handshake_age.unwrap() < PATIENCE);

    let mut stream = connect(&client, echo_server());
    read_line(&mut stream);
    eventually("one flow", || client.status().open_flows == 1);
    let status = client.status();
    assert!(status.sent > 0 && status.received > 0);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    eventually("no flow", || client.status().open_flows == 0);

    client.shutdown();
    assert!(matches!(client.wait_connected(PATIENCE), Err(TunnelError::Stopped)));
}
