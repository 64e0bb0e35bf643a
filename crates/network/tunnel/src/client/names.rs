//! Host names, asked of the exit's resolver through the tunnel (DNS over UDP, RFC 1035).
//!
//! Only the exit can answer, since nobody else can put packets into the tunnel; so message numbers need
//! not be hard to guess.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::target::Failure;
use crate::host_name::HostName;
use crate::packet::{FlowKey, udp_packet};

/// Our end of all questions.
const PORT: u16 = 1053;
/// When a question is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// How often it is asked in all; the exit gives up after five seconds.
const TRIES: u32 = 5;
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;

/// Questions under way, each on behalf of an `O`.
pub(super) struct Lookups<O> {
    flow: FlowKey,
    mtu: u16,
    pending: HashMap<u16, Pending<O>>,
    next: u16,
}

struct Pending<O> {
    owner: O,
    question: Message,
    asked: Instant,
    tries: u32,
}

/// What came of a question.
pub(super) type Outcome = Result<Vec<Ipv4Addr>, Failure>;

impl<O: Copy> Lookups<O> {
    pub(super) fn new(inner_address: Ipv4Addr, resolver: Ipv4Addr, mtu: u16) -> Self {
        let flow = FlowKey {
            source: SocketAddrV4::new(inner_address, PORT),
            destination: SocketAddrV4::new(resolver, 53),
        };
        Self { flow, mtu, pending: HashMap::new(), next: 0 }
    }

    /// Begins a question. The packet that asks it.
    pub(super) fn start(
        &mut self,
        owner: O,
        name: &HostName,
        now: Instant,
    ) -> Result<BytesMut, Failure> {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let mut question = Message::new(number, MessageType::Query, OpCode::Query);
        question.metadata.recursion_desired = true;
        let name = Name::from_ascii(format!("{name}.")).map_err(|_| Failure::NameNotFound)?;
        question.add_query(Query::query(name, RecordType::A));
        let packet = self.packet(&question).ok_or(Failure::Resolver)?;
        // A question with the same number, 65536 questions ago, would be overdue by far.
        self.pending.insert(number, Pending { owner, question, asked: now, tries: 1 });
        Ok(packet)
    }

    /// Takes in a datagram; what it settles, if it answers a question.
    pub(super) fn receive(&mut self, flow: FlowKey, payload: &[u8]) -> Option<(O, Outcome)> {
        if flow.source != self.flow.destination || flow.destination != self.flow.source {
            return None;
        }
        let message = Message::from_vec(payload).ok()?;
        let number = message.metadata.id;
        let asked = self.pending.get(&number)?;
        if message.metadata.message_type != MessageType::Response
            || message.queries != asked.question.queries
        {
            return None;
        }
        let pending = self.pending.remove(&number)?;
        Some((pending.owner, outcome(&message)))
    }

    /// Packets that ask again what has gone unanswered, and those who have waited in vain.
    pub(super) fn tick(&mut self, now: Instant) -> (Vec<BytesMut>, Vec<O>) {
        let late = |pending: &Pending<O>| now.saturating_duration_since(pending.asked) >= RETRY;
        let given_up = self
            .pending
            .extract_if(|_, pending| late(pending) && pending.tries >= TRIES)
            .map(|(_, pending)| pending.owner)
            .collect();
        let mut again = Vec::new();
        for pending in self.pending.values_mut().filter(|pending| late(pending)) {
            pending.asked = now;
            pending.tries += 1;
            again.push(pending.question.clone());
        }
        (again.iter().filter_map(|question| self.packet(question)).collect(), given_up)
    }

    fn packet(&self, question: &Message) -> Option<BytesMut> {
        let bytes = question.to_vec().ok()?;
        udp_packet(self.flow.source, self.flow.destination, &bytes, usize::from(self.mtu))
    }
}

/// The addresses in a resolver's answer; nothing when there are none.
pub(crate) fn read_answer(payload: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let message = Message::from_vec(payload).ok()?;
    if message.metadata.message_type != MessageType::Response {
        return None;
    }
    outcome(&message).ok()
}

fn outcome(message: &Message) -> Outcome {
    match message.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Err(Failure::NameNotFound),
        _ => return Err(Failure::Resolver),
    }
    let addresses: Vec<_> = message
        .answers
        .iter()
        .filter_map(|record| match record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .take(ADDRESSES)
        .collect();
    // The name has no IPv4 address.
    if addresses.is_empty() { Err(Failure::NameNotFound) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Ipv4;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::A;

    fn lookups() -> Lookups<u8> {
        Lookups::new([100, 64, 0, 2].into(), [100, 64, 0, 1].into(), 1420)
    }

    fn asked(packet: &[u8]) -> (FlowKey, Message) {
        let (flow, payload) = Ipv4::parse(packet).unwrap().udp().unwrap();
        let back = FlowKey { source: flow.destination, destination: flow.source };
        (back, Message::from_vec(payload).unwrap())
    }

    #[test]
    fn an_answer_settles_its_question_once() {
        let mut lookups = lookups();
        let now = Instant::now();
        let packet = lookups.start(7, &"example.com".parse().unwrap(), now).unwrap();
        let (back, mut message) = asked(&packet);
        message.metadata.message_type = MessageType::Response;
        let name = message.queries[0].name().clone();
        message.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 1))));
        let bytes = message.to_vec().unwrap();

        let elsewhere = FlowKey { source: "9.9.9.9:53".parse().unwrap(), ..back };
        assert_eq!(lookups.receive(elsewhere, &bytes), None);
        assert_eq!(lookups.receive(back, &[0xff; 40]), None);
        let settled = Some((7, Ok(vec![Ipv4Addr::new(192, 0, 2, 1)])));
        assert_eq!(lookups.receive(back, &bytes), settled);
        assert_eq!(lookups.receive(back, &bytes), None);
    }

    #[test]
    fn codes_become_failures() {
        for (code, failure) in [
            (ResponseCode::NXDomain, Failure::NameNotFound),
            (ResponseCode::NoError, Failure::NameNotFound),
            (ResponseCode::ServFail, Failure::Resolver),
        ] {
            let mut lookups = lookups();
            let packet = lookups.start(7, &"a".parse().unwrap(), Instant::now()).unwrap();
            let (back, mut message) = asked(&packet);
            message.metadata.message_type = MessageType::Response;
            message.metadata.response_code = code;
            let bytes = message.to_vec().unwrap();
            assert_eq!(lookups.receive(back, &bytes), Some((7, Err(failure))));
        }
    }

    #[test]
    fn questions_are_repeated_and_then_given_up() {
        let mut lookups = lookups();
        let mut now = Instant::now();
        let first = lookups.start(7, &"a".parse().unwrap(), now).unwrap();
        for _ in 1..TRIES {
            assert_eq!(lookups.tick(now), (vec![], vec![]));
            now += RETRY;
            assert_eq!(lookups.tick(now), (vec![first.clone()], vec![]));
        }
        assert_eq!(lookups.tick(now + RETRY), (vec![], vec![7]));
        assert!(lookups.pending.is_empty());
    }
}
