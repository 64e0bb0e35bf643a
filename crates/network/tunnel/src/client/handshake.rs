//! What a proxy and its client say to each other before the connection: SOCKS5 or HTTP, told apart by the
//! first byte. No I/O: bytes in, bytes and a decision out.

use super::target::{Failure, Parsed, Target};
use super::{http_connect, socks};

/// More than any handshake takes, with what a hasty client sends after it.
const LONGEST: usize = 16 << 10;

/// A proxy's handshake with one client.
#[derive(Default)]
pub(crate) struct Handshake {
    received: Vec<u8>,
    protocol: Protocol,
}

#[derive(Clone, Copy, Default)]
enum Protocol {
    #[default]
    Unknown,
    /// The greeting is over, and the request comes next.
    Socks,
    Http,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for more bytes.
    Wait,
    /// Connect, and then say how it went: [`Handshake::conclude`].
    Connect(Target),
    /// Close; why has been said.
    Close,
}

impl Handshake {
    /// How many bytes may be read for the handshake.
    pub(crate) fn room(&self) -> usize {
        LONGEST.saturating_sub(self.received.len())
    }

    /// Takes bytes from the client in, and puts answers into `answers`.
    pub(crate) fn receive(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> Step {
        self.received.extend_from_slice(bytes);
        if let (Protocol::Unknown, Some(&first)) = (self.protocol, self.received.first()) {
            if first == socks::VERSION {
                match self.take(socks::parse_greeting) {
                    Ok(None) => return Step::Wait,
                    Ok(Some(true)) => answers.extend_from_slice(&socks::WELCOME),
                    Ok(Some(false)) | Err(_) => {
                        answers.extend_from_slice(&socks::NO_ACCEPTABLE_METHOD);
                        return Step::Close;
                    }
                }
                self.protocol = Protocol::Socks;
            } else {
                self.protocol = Protocol::Http;
            }
        }
        let request = match self.protocol {
            Protocol::Unknown => return Step::Wait,
            Protocol::Socks => self.take(socks::parse_request),
            Protocol::Http => self.take(http_connect::parse_request),
        };
        match request {
            Ok(None) => Step::Wait,
            Ok(Some(target)) => Step::Connect(target),
            Err(failure) => {
                answers.extend(self.conclude(Err(failure)));
                Step::Close
            }
        }
    }

    /// The last word: how the connection went.
    pub(super) fn conclude(&self, outcome: Result<(), Failure>) -> Vec<u8> {
        match self.protocol {
            Protocol::Socks => socks::reply(outcome).to_vec(),
            Protocol::Unknown | Protocol::Http => http_connect::response(outcome).into_bytes(),
        }
    }

    /// What the client has sent after its request, before it knew how that went.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    fn take<T>(&mut self, parse: impl FnOnce(&[u8]) -> Parsed<T>) -> Result<Option<T>, Failure> {
        match parse(&self.received) {
            Parsed::Done(value, used) => {
                self.received.drain(..used);
                Ok(Some(value))
            }
            Parsed::Incomplete if self.room() > 0 => Ok(None),
            Parsed::Incomplete => Err(Failure::TooLong),
            Parsed::Failed(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(pieces: &[&[u8]]) -> (Step, Vec<u8>, Vec<u8>) {
        let (mut handshake, mut answers) = (Handshake::default(), Vec::new());
        let mut step = Step::Wait;
        for piece in pieces {
            match step {
                Step::Wait => step = handshake.receive(piece, &mut answers),
                // The rest is read once the connection stands.
                _ => handshake.received.extend_from_slice(piece),
            }
        }
        (step, answers, handshake.take_rest())
    }

    #[test]
    fn the_first_byte_tells_the_protocols_apart() {
        let (step, answers, rest) = feed(&[b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\x01\0\x50early"]);
        assert_eq!(step, Step::Connect(Target::new("127.0.0.1", 80).unwrap()));
        assert_eq!((&answers[..], &rest[..]), (&[5, 0][..], &b"early"[..]));
        let (step, answers, rest) = feed(&[b"CONNECT a:80 HTTP/1.1\r\n\r\nearly"]);
        assert_eq!(step, Step::Connect(Target::new("a", 80).unwrap()));
        assert_eq!((&answers[..], &rest[..]), (&[][..], &b"early"[..]));
    }

    #[test]
    fn what_is_neither_is_told_so_and_closed() {
        for (bytes, start) in [
            (&b"\x04\x01\0\x50\x7f\0\0\x01\0\r\n\r\n"[..], &b"HTTP/1.1 400"[..]),
            (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"),
            (b"\x05\x01\x02", &[5, 0xff]),
            (b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0", &[5, 0, 5, 7, 0]),
            (&[b'x'; LONGEST], b"HTTP/1.1 431"),
        ] {
            let (step, answers, _) = feed(&[bytes]);
            assert_eq!(step, Step::Close);
            assert!(answers.starts_with(start), "{:?}", String::from_utf8_lossy(&answers));
        }
    }

    proptest! {
        /// How the bytes are cut into pieces makes no difference.
        #[test]
        fn pieces_do_not_matter(
            socks in any::<bool>(),
            rest in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(1usize..8, 1..40),
        ) {
            let start: &[u8] = if socks {
                b"\x05\x02\x01\x00\x05\x01\x00\x03\x09localhost\x01\xbb"
            } else {
                b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            };
            let bytes = [start, &rest].concat();
            let mut pieces: Vec<&[u8]> = Vec::new();
            let (mut left, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !left.is_empty() {
                let (piece, after) = left.split_at(left.len().min(*cuts.next().unwrap()));
                pieces.push(piece);
                left = after;
            }
            prop_assert_eq!(feed(&pieces), feed(&[&bytes]));
        }

        #[test]
        fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = feed(&[&bytes]);
            let _ = feed(&[&[5, 1, 0], &bytes]);
        }
    }
}
