//! Requests that aren't quite HTTP, to every service: whatever comes, it answers with a 4xx or hangs up, carries out no
//! request that was smuggled in, and goes on.

use anyhow::Result;
use endtoend::raw::{self, Raw};
use endtoend::rows::Rows;

use crate::TOWN;
use crate::endpoints;

/// Heads that are refused or hung up on, whatever the path.
fn spoilt_heads() -> Vec<(&'static str, Vec<u8>)> {
    let head = |text: &str| text.replace('\n', "\r\n").into_bytes();
    let many: String = (0..101).map(|number| format!("X-{number}: 1\n")).collect();
    let large = format!("GET /health HTTP/1.1\nHost: a\nX: {}\n\n", "a".repeat(600_000));
    let long = format!("GET /{} HTTP/1.1\nHost: a\n\n", "a".repeat(600_000));
    vec![
        ("nonsense", head("nonsense\n\n")),
        ("zeros", vec![0; 2000]),
        ("a TLS hello", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, b'\r', b'\n', b'\r', b'\n']),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("HTTP/0.9", head("GET /health\n\n")),
        ("HTTP/3.7", head("GET /health HTTP/3.7\nHost: a\n\n")),
        ("a space before the colon", head("GET /health HTTP/1.1\nHost : a\nX : b\n\n")),
        ("a folded header", head("GET /health HTTP/1.1\nHost: a\nX: b\n c\n\n")),
        ("a zero in a header", head("GET /health HTTP/1.1\nHost: a\nX: b\0c\n\n")),
        ("a header without a name", head("GET /health HTTP/1.1\nHost: a\n: b\n\n")),
        ("a header without a colon", head("GET /health HTTP/1.1\nHost: a\nnonsense\n\n")),
        ("a space in the path", head("GET /hea lth HTTP/1.1\nHost: a\n\n")),
        ("a zero in the path", head("GET /hea\0lth HTTP/1.1\nHost: a\n\n")),
        ("too many headers", head(&format!("GET /health HTTP/1.1\nHost: a\n{many}\n"))),
        ("too large a header", head(&large)),
        ("too long a path", head(&long)),
    ]
}

/// Bodies whose length can be read in more than one way, or in none.
fn spoilt_lengths() -> Vec<(&'static str, &'static str, &'static [u8])> {
    vec![
        ("two lengths", "Content-Length: 2\r\nContent-Length: 40\r\n", b"{}"),
        ("two lengths in one", "Content-Length: 2, 40\r\n", b"{}"),
        ("a length below zero", "Content-Length: -2\r\n", b"{}"),
        ("a length with a sign", "Content-Length: +2\r\n", b"{}"),
        ("a length in hexadecimal", "Content-Length: 0x2\r\n", b"{}"),
        ("a length of 2^64", "Content-Length: 18446744073709551616\r\n", b"{}"),
        ("no length at all in it", "Content-Length: \r\n", b"{}"),
        ("an unknown coding", "Transfer-Encoding: nonsense\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
        (
            "chunked and then another",
            "Transfer-Encoding: chunked, gzip\r\n",
            b"2\r\n{}\r\n0\r\n\r\n",
        ),
        ("nearly chunked", "Transfer-Encoding: xchunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
        ("a chunk of no number", "Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
        (
            "a chunk of 2^64",
            "Transfer-Encoding: chunked\r\n",
            b"10000000000000000\r\n{}\r\n0\r\n\r\n",
        ),
        ("a chunk below zero", "Transfer-Encoding: chunked\r\n", b"-2\r\n{}\r\n0\r\n\r\n"),
        ("a chunk without its end", "Transfer-Encoding: chunked\r\n", b"2\r\n{}2\r\n{}0\r\n\r\n"),
        ("a chunk cut off", "Transfer-Encoding: chunked\r\n", b"ff\r\n{"),
        ("no last chunk", "Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n"),
        ("a body cut off", "Content-Length: 100\r\n", b"{"),
        ("no body", "Content-Length: 100\r\n", b""),
    ]
}

#[test]
fn what_is_not_http_is_refused_or_hung_up_on() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    for service in endpoints::SERVICES {
        let address = raw::address(&town.url(service)?)?;
        for (what, bytes) in spoilt_heads() {
            let mut stranger = Raw::connect(address)?;
            stranger.say(&bytes);
            stranger.finish();
            let said = stranger.hear()?;
            let refused = said.status.is_none_or(|status| (400..500).contains(&status));
            assert!(refused, "{service}, {what}: {}", said.head);
            if ["too many headers", "too large a header"].contains(&what) {
                // (The answer may be lost when the service hangs up on the rest.)
                assert!(
                    said.status.is_none_or(|status| status == 431),
                    "{service}, {what}: {}",
                    said.head
                );
            }
        }
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}

#[test]
fn a_body_whose_length_is_a_riddle_is_refused() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    for endpoint in all.iter().filter(|endpoint| !endpoint.body.is_empty()) {
        let mut fields = String::new();
        for (name, value) in &endpoint.headers {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        for (what, length, body) in spoilt_lengths() {
            let head =
                format!("POST {} HTTP/1.1\r\nHost: a\r\n{fields}{length}\r\n", endpoint.path);
            let mut stranger = Raw::connect(endpoint.address)?;
            stranger.say(&[head.as_bytes(), body].concat());
            stranger.finish();
            let said = stranger.hear()?;
            let refused = said.status.is_none_or(|status| (400..500).contains(&status));
            assert!(refused, "{}, {what}: {}", endpoint.name(), said.head);
        }
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}

#[test]
fn nothing_is_smuggled_in_behind_a_request() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    // An account that the operator could make, behind a request that has a length and chunks as well, with the
    // operator's own credential: read in either way it is one request.
    let operator = all.iter().find(|one| one.path == accounts_api::ACCOUNTS);
    let Some(operator) = operator else { anyhow::bail!("no such endpoint") };
    let credential = operator.headers.iter().find(|(name, _)| *name == "Authorization");
    let credential = credential.map(|(_, value)| value.clone()).unwrap_or_default();
    let before = Rows::of(&town)?;
    let inner = r#"{"entitlements":["vpn.dip"]}"#;
    let smuggled = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nAuthorization: {credential}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{inner}",
        accounts_api::ACCOUNTS,
        inner.len(),
    );
    for (length, body) in [
        // By the length all of it is the first request's body; by the chunks the second begins after the last one.
        (
            format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", smuggled.len() + 5),
            format!("0\r\n\r\n{smuggled}"),
        ),
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", smuggled.len() + 5),
            format!("0\r\n\r\n{smuggled}"),
        ),
        // A chunk's extension that hides the last chunk, and a trailer that is a request.
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("0;{smuggled}\r\n\r\n")),
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("0\r\nX: {smuggled}\r\n\r\n")),
        // A body in a GET.
        (format!("Content-Length: {}\r\n", smuggled.len()), smuggled.clone()),
    ] {
        let request = format!("GET /health HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}");
        let mut stranger = Raw::connect(operator.address)?;
        stranger.say(request.as_bytes());
        stranger.finish();
        stranger.hear()?;
        before.unchanged(&town)?;
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}

#[test]
fn a_body_in_chunks_is_the_same_body() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    for endpoint in all.iter().filter(|endpoint| !endpoint.body.is_empty()) {
        let mut fields = String::new();
        for (name, value) in &endpoint.headers {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}Transfer-Encoding: chunked\r\n\r\n",
            endpoint.path
        );
        let chunked = |body: &[u8], size: usize| {
            let mut bytes = head.clone().into_bytes();
            for chunk in body.chunks(size) {
                bytes.extend(format!("{:x};an=extension\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            bytes
        };
        let honest = raw::exchange(endpoint.address, &chunked(&endpoint.body, 700))?;
        assert_eq!(honest.status, Some(200), "{}: {}", endpoint.name(), honest.head);
        // Without a length the limit holds as well.
        let mut large = endpoint.body.clone();
        large.resize(70_000, b' ');
        let refused = raw::exchange(endpoint.address, &chunked(&large, 1000))?;
        assert_eq!(refused.status, Some(413), "{}: {}", endpoint.name(), refused.head);
        assert!(refused.is_problem());
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}
