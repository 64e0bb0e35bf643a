//! The client over real sockets: what it sends, what it refuses, what it tells apart.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_client::{BaseUrl, ClientConfig, ClientError, HttpClient, parse};
use record::{Opened, Recorder, Recording};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

fn config() -> ClientConfig {
    ClientConfig {
        read_timeout: Duration::from_millis(200),
        total_timeout: Duration::from_millis(1000),
        max_response: 1000,
        ..ClientConfig::default()
    }
}

/// What a request looked like to the other side.
struct Seen {
    text: String,
    peer: SocketAddr,
}

/// A peer that takes one request and answers these bytes; it keeps the connection open if `hang`.
async fn answering(
    pieces: Vec<Vec<u8>>,
    hang: bool,
) -> std::io::Result<(BaseUrl, JoinHandle<std::io::Result<Seen>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let url = BaseUrl::plain(address).map_err(std::io::Error::other)?;
    let seen = tokio::spawn(async move {
        let (mut stream, peer) = listener.accept().await?;
        let mut text = Vec::new();
        let ends = |text: &[u8]| text.ends_with(b"\r\n\r\n") || text.ends_with(b"}");
        while !ends(&text) {
            if stream.read_buf(&mut text).await? == 0 {
                break;
            }
        }
        for piece in pieces {
            stream.write_all(&piece).await?;
            // A pause between pieces, unless the client goes away.
            let gone = timeout(Duration::from_millis(50), stream.read(&mut [0])).await;
            if gone.is_ok() {
                break;
            }
        }
        if hang {
            // Until the client goes away.
            let _ = stream.read(&mut [0]).await;
        }
        Ok(Seen { text: String::from_utf8_lossy(&text).into_owned(), peer })
    });
    Ok((url, seen))
}

fn answer(head: &str, body: &str) -> Vec<Vec<u8>> {
    let length = body.len();
    vec![format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()]
}

#[tokio::test]
async fn requests_go_out_as_written_and_from_where_told() {
    let (url, seen) = answering(answer("200 OK", "42"), false).await.unwrap();
    let from = IpAddr::V4(Ipv4Addr::new(127, 8, 9, 10));
    let client = HttpClient::new(ClientConfig { bind: Some(from), ..config() }, ());
    let body = serde_json::json!({ "a": 1 });
    let response = client.post_json(&url, "/api/v1/x?y=1", &body).await.unwrap();
    assert_eq!(parse::<u8>(&response).unwrap(), 42);
    let seen = seen.await.unwrap().unwrap();
    assert_eq!(seen.peer.ip(), from);
    let text = seen.text.to_ascii_lowercase();
    assert!(text.starts_with("post /api/v1/x?y=1 http/1.1\r\n"), "{text}");
    let host = format!("host: {}\r\n", url.authority());
    for header in [&host, "content-type: application/json\r\n", "connection: close\r\n"] {
        assert!(text.contains(header), "{text}");
    }
    assert!(text.ends_with("content-length: 7\r\n\r\n{\"a\":1}"), "{text}");
}

#[tokio::test]
async fn failures_are_told_apart() {
    let client = HttpClient::new(config(), ());
    let get = async |pieces, hang| {
        let (url, _seen) = answering(pieces, hang).await.map_err(ClientError::Unreachable)?;
        client.get(&url, "/").await
    };
    // Nobody listens where somebody just did.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let result = client.get(&BaseUrl::plain(gone).unwrap(), "/").await;
    assert!(matches!(&result, Err(error @ ClientError::Unreachable(_)) if error.is_retriable()));
    for broken in [vec![], vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()]] {
        let result = get(broken, false).await;
        assert!(matches!(result, Err(ClientError::Unreachable(_))), "{result:?}");
    }
    for silent in [vec![], vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()]] {
        let result = get(silent, true).await;
        assert!(matches!(&result, Err(error @ ClientError::TimedOut) if error.is_retriable()));
    }
    let trickle = std::iter::once(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec())
        .chain(std::iter::repeat_n(b"x".to_vec(), 900));
    let result = get(trickle.collect(), true).await;
    assert!(matches!(result, Err(ClientError::TimedOut)), "{result:?}");
    let result = get(answer("200 OK", &"x".repeat(1001)), false).await;
    assert!(matches!(&result, Err(error @ ClientError::TooLarge) if !error.is_retriable()));
    let endless = vec![format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000)).into_bytes()];
    assert!(matches!(get(endless, true).await, Err(ClientError::TooLarge)));
    assert!(get(answer("200 OK", &"x".repeat(1000)), false).await.is_ok());
    let result = get(vec![b"220 mail.example ESMTP\r\n\r\n".to_vec()], false).await;
    assert!(matches!(result, Err(ClientError::NotHttp(_))), "{result:?}");
}

#[tokio::test]
async fn plain_http_stays_on_loopback() {
    let client = HttpClient::new(config(), ());
    let get = async |url: &str| {
        let request = Request::get(url).body(Bytes::new()).map_err(|_| ClientError::BadRequest)?;
        client.send(request).await
    };
    for url in ["http://192.0.2.1/", "http://dip.example/", "http://[::ffff:192.0.2.1]/"] {
        let refused = get(url).await.unwrap_err();
        assert!(matches!(refused, ClientError::PlainOffLoopback));
        assert_eq!(refused.to_string(), "Plain HTTP is refused off loopback");
    }
    assert!(matches!(get("https://127.0.0.1/").await, Err(ClientError::Unsupported)));
    assert!(matches!(get("/path").await, Err(ClientError::Unsupported)));
}

/// A proxy that takes one connection, answers these bytes to whatever comes first, and then hands it on to `to`.
async fn proxying(
    answers: Vec<u8>,
    to: Option<SocketAddr>,
) -> std::io::Result<(SocketAddr, JoinHandle<std::io::Result<Vec<u8>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut request = vec![0; 13];
        stream.read_exact(&mut request).await?;
        stream.write_all(&answers).await?;
        if let Some(to) = to {
            let mut on = tokio::net::TcpStream::connect(to).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut on).await?;
        }
        Ok(request)
    });
    Ok((address, asked))
}

#[tokio::test]
async fn a_tunnels_proxy_leads_off_loopback() {
    let url: BaseUrl = "http://100.64.0.1:3006".parse().unwrap();
    // The reply names an address of either kind, or a name; the service's answer comes right behind it.
    for bound in [&[1, 0, 0, 0, 0][..], &[&[4][..], &[0; 16]].concat(), b"\x03\x04name"] {
        let (service, seen) = answering(answer("200 OK", "42"), false).await.unwrap();
        let to = service.authority().parse().unwrap();
        let replied = [&[5, 0, 5, 0, 0][..], bound, &[0, 80]].concat();
        let (proxy, asked) = proxying(replied, Some(to)).await.unwrap();
        let client = HttpClient::new(ClientConfig { proxy: Some(proxy), ..config() }, ());
        let response = client.get(&url, "/x").await.unwrap();
        assert_eq!(parse::<u8>(&response).unwrap(), 42);
        let text = seen.await.unwrap().unwrap().text.to_ascii_lowercase();
        assert!(text.contains("host: 100.64.0.1:3006\r\n"), "{text}");
        let expected = [5, 1, 0, 5, 1, 0, 1, 100, 64, 0, 1, 0x0b, 0xbe];
        assert_eq!(asked.await.unwrap().unwrap(), expected);
        // A name would be looked up, by somebody.
        let named: BaseUrl = "http://gateway.example:3006".parse().unwrap();
        assert!(matches!(client.get(&named, "/").await, Err(ClientError::PlainOffLoopback)));
    }
}

#[tokio::test]
async fn what_a_proxy_says_instead_is_told() {
    let url: BaseUrl = "http://100.64.0.1:3006".parse().unwrap();
    let get = async |answers: &[u8]| {
        let (proxy, _asked) = proxying(answers.to_vec(), None).await.unwrap();
        let config = ClientConfig { proxy: Some(proxy), ..config() };
        HttpClient::new(config, ()).get(&url, "/").await
    };
    for code in [1, 3, 5, 255] {
        let refused = get(&[5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        assert!(matches!(refused, Err(ClientError::NoWay(said)) if said == code));
    }
    for other in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[5, 0xff], &[5, 0, 5, 0, 0, 9, 0], &[5]]
    {
        assert!(matches!(get(other).await, Err(ClientError::Unreachable(_))), "{other:?}");
    }
    // Somebody else's machine is no tunnel of ours.
    let far = ClientConfig { proxy: Some("192.0.2.1:1080".parse().unwrap()), ..config() };
    let refused = HttpClient::new(far, ()).get(&url, "/").await;
    assert!(matches!(refused, Err(ClientError::PlainOffLoopback)));
}

#[tokio::test]
async fn problems_are_read() {
    let body = r#"{"type":"https://cloakroom.example/problems/spent","title":"Spent","status":1}"#;
    let head = "409 Conflict\r\nContent-Type: application/problem+json";
    let (url, _seen) = answering(answer(head, body), false).await.unwrap();
    let response = HttpClient::new(config(), ()).get(&url, "/").await.unwrap();
    assert_eq!(response.status(), StatusCode::CONFLICT);
    let Err(ClientError::Problem(problem)) = parse::<u8>(&response) else { panic!() };
    assert_eq!((problem.slug(), problem.status), ("spent", 409));
    let (url, _seen) = answering(answer("200 OK", "\"no number\""), false).await.unwrap();
    let response = HttpClient::new(config(), ()).get(&url, "/").await.unwrap();
    assert!(matches!(parse::<u8>(&response), Err(ClientError::Unexpected)));
}

/// Also in members that nobody reads.
#[test]
fn answers_are_utf_8_all_over() {
    #[derive(serde::Deserialize)]
    struct Answer {
        count: u8,
    }
    let read = |body: &'static [u8]| parse::<Answer>(&http::Response::new(Bytes::from(body)));
    assert!(read(br#"{"count":4,"more":{"x":1}}"#).is_ok_and(|answer| answer.count == 4));
    let spoilt = read(b"{\"count\":4,\"more\":{\"\xd4\":1}}");
    assert!(matches!(spoilt, Err(ClientError::Unexpected)));
}

#[tokio::test]
async fn the_tap_hears_the_answer() {
    let room = tempfile::tempdir().unwrap();
    let tape = room.path().join("tape");
    let pieces = answer("200 OK", "heard");
    let (url, _seen) = answering(pieces.clone(), false).await.unwrap();
    HttpClient::new(config(), Recorder::to_file(&tape).unwrap()).get(&url, "/").await.unwrap();
    let recording = Recording::load(&tape).unwrap();
    let heard = &recording.conversations[&0];
    assert_eq!((heard.opened, &heard.received), (Opened::ByUs, &pieces.concat()));
    assert_eq!(heard.peer.unwrap().to_string(), url.authority());
}
