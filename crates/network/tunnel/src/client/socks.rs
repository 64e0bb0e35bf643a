//! SOCKS5 (RFC 1928), the server's side: no authentication, CONNECT only.

use std::net::Ipv4Addr;

use super::target::{Failure, Host, Parsed, Target};

/// What every message starts with.
pub(super) const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;

/// Answer to a greeting that offers to do without authentication.
pub(super) const WELCOME: [u8; 2] = [VERSION, NO_AUTHENTICATION];
/// Answer to one that doesn't.
pub(super) const NO_ACCEPTABLE_METHOD: [u8; 2] = [VERSION, 0xff];

/// Reads the greeting (section 3): version, count, methods. Whether it offers to do without authentication.
pub(super) fn parse_greeting(bytes: &[u8]) -> Parsed<bool> {
    match bytes {
        [VERSION, count, rest @ ..] => match rest.get(..usize::from(*count)) {
            Some(methods) => {
                Parsed::Done(methods.contains(&NO_AUTHENTICATION), 2 + usize::from(*count))
            }
            None => Parsed::Incomplete,
        },
        [] | [VERSION] => Parsed::Incomplete,
        _ => Parsed::Failed(Failure::Malformed),
    }
}

/// Reads the request (section 4): version, command, reserved, kind of address, address, port.
pub(super) fn parse_request(bytes: &[u8]) -> Parsed<Target> {
    let (command, kind, rest) = match bytes {
        [VERSION, command, 0, kind, rest @ ..] => (*command, *kind, rest),
        [] | [VERSION] | [VERSION, _] | [VERSION, _, 0] => return Parsed::Incomplete,
        _ => return Parsed::Failed(Failure::Malformed),
    };
    let (start, length) = match (kind, rest) {
        (1, _) => (0, 4),
        (3, [length, ..]) => (1, usize::from(*length)),
        (3, []) => return Parsed::Incomplete,
        (4, _) => (0, 16),
        _ => return Parsed::Failed(Failure::AddressKind),
    };
    let end = start + length;
    let (Some(address), Some(&[p0, p1])) = (rest.get(start..end), rest.get(end..end + 2)) else {
        return Parsed::Incomplete;
    };
    if command != CONNECT {
        return Parsed::Failed(Failure::Command);
    }
    let port = u16::from_be_bytes([p0, p1]);
    let target = match (kind, address) {
        (1, &[a, b, c, d]) if port != 0 => {
            Ok(Target { host: Host::Address(Ipv4Addr::new(a, b, c, d)), port })
        }
        (3, name) => std::str::from_utf8(name)
            .map_err(|_| Failure::Malformed)
            .and_then(|name| Target::new(name, port)),
        (4, _) => Err(Failure::AddressKind),
        _ => Err(Failure::Malformed),
    };
    match target {
        Ok(target) => Parsed::Done(target, 4 + end + 2),
        Err(failure) => Parsed::Failed(failure),
    }
}

/// The reply (section 6). Which address the exit uses isn't told: zeros.
pub(super) const fn reply(outcome: Result<(), Failure>) -> [u8; 10] {
    let code = match outcome {
        Ok(()) => 0,
        Err(Failure::Malformed | Failure::TooLong | Failure::Busy) => 1,
        Err(Failure::NoTunnel) => 3,
        Err(Failure::Unreachable | Failure::NameNotFound | Failure::Resolver) => 4,
        Err(Failure::Refused) => 5,
        Err(Failure::TimedOut) => 6,
        Err(Failure::Command) => 7,
        Err(Failure::AddressKind) => 8,
    };
    [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(kind: u8, address: &[u8], port: u16) -> Vec<u8> {
        [&[5, 1, 0, kind][..], address, &port.to_be_bytes()].concat()
    }

    #[test]
    fn requests_are_read_to_the_byte() {
        let mut bytes = request(1, &[192, 0, 2, 1], 443);
        let target = Target { host: Host::Address(Ipv4Addr::new(192, 0, 2, 1)), port: 443 };
        assert_eq!(parse_request(&bytes), Parsed::Done(target.clone(), 10));
        bytes.extend_from_slice(b"GET /");
        assert_eq!(parse_request(&bytes), Parsed::Done(target, 10));

        let bytes = request(3, b"\x0bexample.com", 80);
        let target = Target { host: Host::Name("example.com".parse().unwrap()), port: 80 };
        assert_eq!(parse_request(&bytes), Parsed::Done(target, 18));
        // A name that is an address is taken as one.
        let bytes = request(3, b"\x09192.0.2.1", 80);
        let target = Target { host: Host::Address(Ipv4Addr::new(192, 0, 2, 1)), port: 80 };
        assert_eq!(parse_request(&bytes), Parsed::Done(target, 16));
    }

    #[test]
    fn each_wrong_request_has_its_reply() {
        for (bytes, failure, code) in [
            (request(4, &[0; 16], 80), Failure::AddressKind, 8),
            (request(3, b"\x03::1", 80), Failure::AddressKind, 8),
            (request(2, &[0; 4], 80), Failure::AddressKind, 8),
            (request(3, b"\x03a b", 80), Failure::Malformed, 1),
            (request(3, b"\x00", 80), Failure::Malformed, 1),
            (request(1, &[192, 0, 2, 1], 0), Failure::Malformed, 1),
            (vec![4, 1, 0, 1], Failure::Malformed, 1),
            (vec![5, 1, 7, 1], Failure::Malformed, 1),
            (vec![5, 2, 0, 1, 0, 0, 0, 0, 0, 0], Failure::Command, 7),
            (vec![5, 3, 0, 1, 0, 0, 0, 0, 0, 0], Failure::Command, 7),
        ] {
            assert_eq!(parse_request(&bytes), Parsed::Failed(failure), "{bytes:?}");
            assert_eq!(reply(Err(failure)), [5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn greetings_must_offer_no_authentication() {
        assert_eq!(parse_greeting(&[5, 1, 0]), Parsed::Done(true, 3));
        assert_eq!(parse_greeting(&[5, 2, 2, 0, 9]), Parsed::Done(true, 4));
        assert_eq!(parse_greeting(&[5, 1, 2]), Parsed::Done(false, 3));
        assert_eq!(parse_greeting(&[5, 0]), Parsed::Done(false, 2));
        assert_eq!(parse_greeting(&[4, 1]), Parsed::Failed(Failure::Malformed));
    }

    proptest! {
        /// A prefix never decides otherwise than the whole, and no bytes make a reader fail.
        #[test]
        fn readers_are_total_and_stable(
            start in prop::sample::select(vec![vec![], vec![5], vec![5, 1, 0], vec![5, 1, 0, 3, 5], vec![5, 1, 0, 1]]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, rest].concat();
            let (greeting, request) = (parse_greeting(&bytes), parse_request(&bytes));
            for end in 0..bytes.len() {
                let part = parse_greeting(&bytes[..end]);
                prop_assert!(part == Parsed::Incomplete || part == greeting);
                let part = parse_request(&bytes[..end]);
                prop_assert!(part == Parsed::Incomplete || part == request);
            }
        }
    }
}
