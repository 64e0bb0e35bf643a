//! The proxy's handshakes, SOCKS5 and HTTP CONNECT: the same whole and in pieces.
//!
//! Input: a seed for the sizes of the pieces, then what the client sends.

use std::net::Ipv4Addr;

use tunnel::reading::{Next, ProxyTalk};

use crate::input::{byte, tagged};

/// More than a handshake may hold.
const BOUND: usize = 16 << 10;

/// Talks.
pub(crate) fn check(input: &[u8]) {
    let Some((seed, sent)) = byte(input) else { return };
    let whole = talk(sent, || usize::MAX);
    let mut state = u32::from(seed);
    // Each piece has the reader look at everything again: a long handshake comes in larger ones.
    let most = 9 + sent.len() / 32;
    let pieces = talk(sent, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) as usize % most
    });
    assert_eq!(whole, pieces, "it doesn't matter in which pieces it comes");
    let (mut first, late) = (true, sent.len().saturating_sub(8).max(1));
    let bytes = talk(sent, || if std::mem::take(&mut first) { late } else { 1 });
    assert_eq!(whole, bytes, "nor whether its end comes byte by byte");
    let (next, answers, rest) = whole;
    assert!(answers.len() < 300);
    match next {
        Next::Wait => assert!(rest.is_empty() || sent.len() > BOUND),
        Next::Close => assert!(!answers.is_empty(), "it says why"),
        Next::Connect(host, port) => {
            assert_ne!(port, 0);
            let sound = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
            };
            assert!(host.parse::<Ipv4Addr>().is_ok() || host.bytes().all(sound));
            assert!((1..=253).contains(&host.len()));
            assert!(sent.ends_with(&rest), "what follows belongs to the connection");
        }
    }
}

/// What comes of the bytes: the decision, what was answered, and what is left for the connection.
fn talk(sent: &[u8], mut size: impl FnMut() -> usize) -> (Next, Vec<u8>, Vec<u8>) {
    let (mut talk, mut answers, mut at) = (ProxyTalk::default(), Vec::new(), 0);
    let mut next = Next::Wait;
    while at < sent.len() && next == Next::Wait && talk.room() > 0 {
        let end = at + size().min(talk.room()).min(sent.len() - at);
        next = talk.receive(&sent[at..end], &mut answers);
        at = end;
        assert!(talk.room() <= BOUND);
    }
    let rest = match next {
        Next::Connect(..) => [talk.take_rest(), sent[at..].to_vec()].concat(),
        _ => Vec::new(),
    };
    (next, answers, rest)
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut longest = b"CONNECT example.com:1 HTTP/1.1\r\nX: ".to_vec();
    longest.resize(8192 - 4, b'x');
    longest.extend(b"\r\n\r\n");
    let mut too_long = longest.clone();
    too_long.splice(40..40, *b"xx");
    [
        &b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50hello"[..],
        b"\x05\x02\x00\x02\x05\x01\x00\x03\x0bexample.com\x01\xbb",
        b"\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50",
        b"\x05\x01\x02",
        b"\x05\x01\x00\x05\x02\x00\x01\xc0\x00\x02\x01\x00\x50",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\nhello",
        b"CONNECT 192.0.2.1:80 HTTP/1.0\r\n\r\n",
        b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\n\r\n",
        &longest,
        &too_long,
    ]
    .iter()
    .map(|sent| tagged(7, sent))
    .collect()
}
