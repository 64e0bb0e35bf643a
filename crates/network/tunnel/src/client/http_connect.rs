//! HTTP CONNECT (RFC 9110, section 9.3.6; RFC 9112 for the syntax), the proxy's side.
//!
//! Other methods are answered 405: a proxy that rewrites requests isn't what a tunnel needs.

use super::target::{Failure, Parsed, Target};

/// More than any client's request head.
const LONGEST: usize = 8 << 10;

/// Reads a request head up to its empty line.
pub(super) fn parse_request(bytes: &[u8]) -> Parsed<Target> {
    // Looked for within the bound only, so that it doesn't matter in which pieces the head came.
    let within = bytes.get(..LONGEST).unwrap_or(bytes);
    let Some(end) = within.windows(4).position(|four| four == b"\r\n\r\n") else {
        // What follows could still be anything, unless it is too much.
        return match bytes.len() {
            0..LONGEST => Parsed::Incomplete,
            _ => Parsed::Failed(Failure::TooLong),
        };
    };
    let head = bytes.get(..end).unwrap_or_default();
    match parse_head(head) {
        Ok(target) => Parsed::Done(target, end + 4),
        Err(failure) => Parsed::Failed(failure),
    }
}

fn parse_head(head: &[u8]) -> Result<Target, Failure> {
    let head = std::str::from_utf8(head).map_err(|_| Failure::Malformed)?;
    let line = head.split("\r\n").next().unwrap_or_default();
    let mut words = line.split(' ');
    let (Some(method), Some(authority), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Failure::Malformed);
    };
    if !version.starts_with("HTTP/1.") || method.is_empty() {
        return Err(Failure::Malformed);
    }
    // Methods are case-sensitive.
    if method != "CONNECT" {
        return Err(Failure::Command);
    }
    let (host, port) = authority.rsplit_once(':').ok_or(Failure::Malformed)?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Malformed);
    }
    Target::new(host, port.parse().map_err(|_| Failure::Malformed)?)
}

/// The response head; a failure says more in `Proxy-Status` (RFC 9209).
pub(super) fn response(outcome: Result<(), Failure>) -> String {
    let (status, error) = match outcome {
        Ok(()) => return "HTTP/1.1 200 Connection established\r\n\r\n".into(),
        Err(Failure::Malformed) => ("400 Bad Request", "http_request_error"),
        Err(Failure::TooLong) => ("431 Request Header Fields Too Large", "http_request_error"),
        Err(Failure::Command) => {
            ("405 Method Not Allowed\r\nAllow: CONNECT", "http_request_denied")
        }
        Err(Failure::AddressKind) => ("502 Bad Gateway", "destination_ip_unroutable"),
        Err(Failure::NameNotFound) => ("502 Bad Gateway", "dns_error; rcode=\"NXDOMAIN\""),
        Err(Failure::Resolver) => ("502 Bad Gateway", "dns_error; rcode=\"SERVFAIL\""),
        Err(Failure::Refused) => ("502 Bad Gateway", "connection_refused"),
        Err(Failure::Unreachable) => ("502 Bad Gateway", "destination_unavailable"),
        Err(Failure::TimedOut) => ("504 Gateway Timeout", "connection_timeout"),
        Err(Failure::NoTunnel) => ("503 Service Unavailable", "proxy_internal_response"),
        Err(Failure::Busy) => ("503 Service Unavailable", "connection_limit_reached"),
    };
    format!(
        "HTTP/1.1 {status}\r\nProxy-Status: tunnel; error={error}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::target::Host;
    use proptest::prelude::*;

    fn status(outcome: Parsed<Target>) -> u16 {
        let Parsed::Failed(failure) = outcome else { panic!("{outcome:?}") };
        response(Err(failure))[9..12].parse().unwrap()
    }

    #[test]
    fn connect_requests_are_read_to_the_byte() {
        let head = "CONNECT Example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n";
        let target = Target { host: Host::Name("example.com".parse().unwrap()), port: 443 };
        let bytes = format!("{head}pipelined\r\n\r\n");
        assert_eq!(parse_request(bytes.as_bytes()), Parsed::Done(target, head.len()));
        let target = Target { host: Host::Address([192, 0, 2, 1].into()), port: 80 };
        let head = b"CONNECT 192.0.2.1:80 HTTP/1.0\r\n\r\n";
        assert_eq!(parse_request(head), Parsed::Done(target, head.len()));
    }

    #[test]
    fn each_wrong_request_has_its_status() {
        for (line, expected) in [
            ("GET http://example.com/ HTTP/1.1", 405),
            ("connect example.com:1 HTTP/1.1", 405),
            ("CONNECT example.com HTTP/1.1", 400),
            ("CONNECT example.com: HTTP/1.1", 400),
            ("CONNECT example.com:+1 HTTP/1.1", 400),
            ("CONNECT example.com:0 HTTP/1.1", 400),
            ("CONNECT example.com:65536 HTTP/1.1", 400),
            ("CONNECT exa mple.com:1 HTTP/1.1", 400),
            ("CONNECT user@example.com:1 HTTP/1.1", 400),
            ("CONNECT [192.0.2.1]:1 HTTP/1.1", 400),
            ("CONNECT example.com:1", 400),
            ("CONNECT example.com:1 HTTP/2.0", 400),
            ("", 400),
            ("CONNECT [::1]:1 HTTP/1.1", 502),
        ] {
            let head = format!("{line}\r\n\r\n");
            assert_eq!(status(parse_request(head.as_bytes())), expected, "{line}");
        }
        let endless = format!("CONNECT example.com:1 HTTP/1.1\r\nX: {}", "x".repeat(LONGEST));
        assert_eq!(status(parse_request(endless.as_bytes())), 431);
    }

    /// The bound is the same whether a head comes at once or byte by byte.
    #[test]
    fn the_longest_head_may_come_in_pieces() {
        let mut head = b"CONNECT example.com:1 HTTP/1.1\r\nX: ".to_vec();
        head.resize(LONGEST - 4, b'x');
        head.extend(b"\r\n\r\n");
        assert!(matches!(parse_request(&head), Parsed::Done(_, LONGEST)));
        for end in [LONGEST - 4, LONGEST - 1] {
            assert_eq!(parse_request(&head[..end]), Parsed::Incomplete);
        }
        head.insert(40, b'x');
        assert_eq!(parse_request(&head), Parsed::Failed(Failure::TooLong));
        assert_eq!(parse_request(&head[..LONGEST]), Parsed::Failed(Failure::TooLong));
    }

    proptest! {
        #[test]
        fn the_reader_is_total_and_stable(
            line in "(CONNECT |GET )?[a-z.:\\[\\]0-9]{0,20}( HTTP/1.1)?",
            rest in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = [line.as_bytes(), b"\r\n\r\n", &rest].concat();
            let whole = parse_request(&bytes);
            for end in 0..bytes.len() {
                let part = parse_request(&bytes[..end]);
                prop_assert!(part == Parsed::Incomplete || part == whole);
            }
        }
    }
}
