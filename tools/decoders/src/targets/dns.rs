//! DNS: the exit's reading of questions and its answers, and the client's reading of answers.

use std::net::{IpAddr, Ipv4Addr};

use tunnel::reading::{Question, addresses, answer, question};

/// What an answer may have at most, so that it needs no TCP.
const LONGEST: usize = 512;

/// Reads the input as a question and as an answer.
pub(crate) fn check(input: &[u8]) {
    if let Some(found) = addresses(input) {
        assert!((1..=4).contains(&found.len()));
    }
    match question(input) {
        Question::Dropped => assert_eq!(answer(input, &[]), None),
        Question::Answered(message) => {
            fits(input, &message);
            // It was answered without a lookup, so no address changes anything.
            assert_eq!(answer(input, &[[192, 0, 2, 1].into()]).as_ref(), Some(&message));
            assert_eq!(addresses(&message), None);
        }
        Question::Lookup(name) => {
            host(&name);
            for count in [0, 1, 3, 14, 40] {
                let found = found(input, count);
                let message = answer(input, &found).expect("a question is answered");
                fits(input, &message);
                let expected: Vec<Ipv4Addr> = found.iter().filter_map(four).take(4).collect();
                assert_eq!(addresses(&message).unwrap_or_default(), expected);
            }
        }
    }
}

fn four(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    }
}

/// Addresses that differ, and one of the other family among them.
fn found(input: &[u8], count: u8) -> Vec<IpAddr> {
    let first = input.first().copied().unwrap_or_default();
    let mut all: Vec<IpAddr> = (0..count).map(|last| [192, 0, first, last].into()).collect();
    if count > 1 {
        all.insert(1, "2001:db8::1".parse().expect("an address"));
    }
    all
}

/// An answer fits into a datagram, is one, and is to this question.
fn fits(asked: &[u8], message: &[u8]) {
    assert!((12..=LONGEST).contains(&message.len()), "{} bytes", message.len());
    assert_eq!(message[..2], asked[..2], "the number comes back");
    assert!(message[2] & 0x80 != 0, "it is an answer");
    assert_eq!(question(message), Question::Dropped, "answers aren't answered");
}

/// A name that the host's resolver may be asked for.
fn host(name: &str) {
    assert!((1..=253).contains(&name.len()));
    for label in name.split('.') {
        assert!((1..=63).contains(&label.len()));
        let sound =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        assert!(label.bytes().all(sound));
    }
    assert!(!matches!(name.rsplit('.').next(), Some("onion" | "invalid")));
}

/// A question for a name's addresses of a kind (1: IPv4).
pub(crate) fn asking(number: u16, name: &str, kind: u8) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label"));
        message.extend(label.bytes());
    }
    message.extend([0, 0, kind, 0, 1]);
    message
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let long =
        [["a"; 31].concat().as_str(), &"b".repeat(63), &"c".repeat(63), &"d".repeat(63), "e"]
            .join(".");
    let plain = asking(0x1234, "example.com", 1);
    let mut edns = plain.clone();
    edns[11] = 1;
    edns.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    let mut reply = plain.clone();
    reply[2] = 0x81;
    reply[7] = 1;
    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    vec![
        asking(1, &long, 1),
        asking(2, "example.com", 28),
        asking(3, "a.invalid", 1),
        asking(4, "EXAMPLE.onion", 1),
        asking(5, "_dmarc.x-y.example", 1),
        answer(&plain, &found(&plain, 14)).expect("a question"),
        plain,
        edns,
        reply,
    ]
}
