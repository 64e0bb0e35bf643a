//! The resolver inside the tunnel: DNS questions (RFC 1035) answered by the host's own resolver.
//!
//! A peer's names are looked up where its flows leave, so nobody on the peer's side learns them. Only
//! IPv4 addresses are given: a question for IPv6 addresses, or for anything else, gets an empty answer.
//! Answers always fit into 512 bytes, so there is no need for DNS over TCP.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType, rdata::A};
use mio::Waker;

use super::host::PeerId;
use crate::host_name::HostName;
use crate::packet::FlowKey;

/// The port that questions come to.
pub(super) const PORT: u16 = 53;
/// The system's resolver blocks, so it is asked on threads.
const THREADS: usize = 8;
/// Questions that may wait for a thread, of all peers and of one.
const QUEUE: usize = 256;
const PER_PEER: usize = 32;
/// When a question is answered with a failure; resolvers ask again after about as long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses change; seconds for which an answer may be kept.
const TIME_TO_LIVE: u32 = 60;
/// Addresses of one answer: with the longest name these come to 16 * 16 + 255 + 4 + 12 + 11 bytes.
const ADDRESSES: usize = 14;

/// Looks names up; a function, so that tests need no network.
pub(super) type Lookup = Arc<dyn Fn(&str) -> Result<Vec<IpAddr>, LookupError> + Send + Sync>;

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookupError {
    /// There is no such name.
    NotFound,
    /// The resolver couldn't tell.
    Failed,
}

/// An answer that is ready to go back.
pub(super) struct Answered {
    pub(super) peer: PeerId,
    pub(super) flow: FlowKey,
    pub(super) message: Vec<u8>,
}

/// Questions under way and the threads that work on them.
pub(super) struct Resolver {
    jobs: SyncSender<(u64, HostName)>,
    results: Receiver<(u64, Result<Vec<IpAddr>, LookupError>)>,
    pending: HashMap<u64, Pending>,
    next: u64,
}

struct Pending {
    peer: PeerId,
    flow: FlowKey,
    question: Message,
    since: Instant,
}

impl Resolver {
    /// Starts the threads; each result wakes `waker`. They end with the resolver, once what the system
    /// is looking up has come to an end.
    pub(super) fn start(lookup: &Lookup, waker: &Arc<Waker>) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel::<(u64, HostName)>(QUEUE);
        let (sender, results) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..THREADS {
            let (waiting, sender) = (Arc::clone(&waiting), sender.clone());
            let (lookup, waker) = (Arc::clone(lookup), Arc::clone(waker));
            thread::Builder::new()
                .name("tunnel-dns".into())
                .spawn(move || work(&waiting, &sender, &lookup, &waker))?;
        }
        Ok(Self { jobs, results, pending: HashMap::new(), next: 0 })
    }

    /// Takes a question in. The answer, if it can be given at once.
    pub(super) fn ask(
        &mut self,
        peer: PeerId,
        flow: FlowKey,
        question: &[u8],
        now: Instant,
    ) -> Option<Vec<u8>> {
        let (question, name) = match read(question) {
            Read::Lookup(question, name) => (question, name),
            Read::Answered(answer) => return answer,
            Read::Dropped => return None,
        };
        let of_peer = self.pending.values().filter(|pending| pending.peer == peer).count();
        let id = self.next;
        if of_peer >= PER_PEER || self.jobs.try_send((id, name)).is_err() {
            return answer(&question, ResponseCode::ServFail, &[]);
        }
        self.next += 1;
        self.pending.insert(id, Pending { peer, flow, question, since: now });
        None
    }

    /// Answers that have become ready, and failures for questions that took too long.
    pub(super) fn take_answers(&mut self, now: Instant) -> Vec<Answered> {
        let mut answered = Vec::new();
        while let Ok((id, result)) = self.results.try_recv() {
            // The question may have been given up.
            let Some(pending) = self.pending.remove(&id) else { continue };
            answered.extend(pending.answered(&result));
        }
        let late = self
            .pending
            .extract_if(|_, pending| now.saturating_duration_since(pending.since) >= PATIENCE);
        answered
            .extend(late.filter_map(|(_, pending)| pending.answered(&Err(LookupError::Failed))));
        answered
    }

    /// Forgets what a peer has asked.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.pending.retain(|_, pending| pending.peer != peer);
    }
}

impl Pending {
    fn answered(self, result: &Result<Vec<IpAddr>, LookupError>) -> Option<Answered> {
        let (code, addresses) = match result {
            Ok(addresses) => (ResponseCode::NoError, addresses.as_slice()),
            Err(LookupError::NotFound) => (ResponseCode::NXDomain, [].as_slice()),
            Err(LookupError::Failed) => (ResponseCode::ServFail, [].as_slice()),
        };
        let message = answer(&self.question, code, addresses)?;
        Some(Answered { peer: self.peer, flow: self.flow, message })
    }
}

/// What a datagram amounts to.
enum Read {
    Dropped,
    Answered(Option<Vec<u8>>),
    Lookup(Message, HostName),
}

fn read(question: &[u8]) -> Read {
    let Ok(question) = Message::from_vec(question) else { return Read::Dropped };
    match judge(&question) {
        None => Read::Dropped,
        Some(Err(code)) => Read::Answered(answer(&question, code, &[])),
        Some(Ok(name)) => Read::Lookup(question, name),
    }
}

/// What the resolver makes of a datagram, without a resolver.
pub(crate) enum DnsQuestion {
    Dropped,
    Answered(Vec<u8>),
    Lookup(HostName),
}

pub(crate) fn read_question(question: &[u8]) -> DnsQuestion {
    match read(question) {
        Read::Dropped | Read::Answered(None) => DnsQuestion::Dropped,
        Read::Answered(Some(answer)) => DnsQuestion::Answered(answer),
        Read::Lookup(_, name) => DnsQuestion::Lookup(name),
    }
}

/// What a question is answered with once its name's addresses are known.
pub(crate) fn answer_question(question: &[u8], addresses: &[IpAddr]) -> Option<Vec<u8>> {
    match read(question) {
        Read::Dropped => None,
        Read::Answered(answer) => answer,
        Read::Lookup(question, _) => answer(&question, ResponseCode::NoError, addresses),
    }
}

/// What to do with a message: nothing, look a name up, or answer with a code and no addresses.
fn judge(message: &Message) -> Option<Result<HostName, ResponseCode>> {
    if message.metadata.message_type != MessageType::Query {
        return None;
    }
    if message.metadata.op_code != OpCode::Query {
        return Some(Err(ResponseCode::NotImp));
    }
    let [query] = message.queries.as_slice() else { return Some(Err(ResponseCode::FormErr)) };
    if query.query_class() != DNSClass::IN {
        return Some(Err(ResponseCode::NotImp));
    }
    let name = match query.name().to_ascii().parse::<HostName>() {
        Ok(name) if !name.is_never_in_dns() => name,
        _ => return Some(Err(ResponseCode::NXDomain)),
    };
    // No data of this kind, which leaves open whether there is other data.
    Some(if query.query_type() == RecordType::A { Ok(name) } else { Err(ResponseCode::NoError) })
}

fn answer(question: &Message, code: ResponseCode, addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let asked = &question.metadata;
    let mut message = Message::error_msg(asked.id, asked.op_code, code);
    message.metadata.recursion_desired = asked.recursion_desired;
    message.metadata.recursion_available = true;
    if let Some(query) = question.queries.first() {
        message.add_query(query.clone());
        let mut seen: Vec<Ipv4Addr> = Vec::new();
        for address in addresses {
            match *address {
                IpAddr::V4(ip) if !seen.contains(&ip) && seen.len() < ADDRESSES => seen.push(ip),
                _ => {}
            }
        }
        message.add_answers(
            seen.into_iter()
                .map(|ip| Record::from_rdata(query.name().clone(), TIME_TO_LIVE, RData::A(A(ip)))),
        );
    }
    if question.edns.is_some() {
        message.set_edns(Edns::new());
    }
    message.to_vec().ok()
}

fn work(
    waiting: &Mutex<Receiver<(u64, HostName)>>,
    results: &Sender<(u64, Result<Vec<IpAddr>, LookupError>)>,
    lookup: &Lookup,
    waker: &Waker,
) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((id, name)) = job else { return };
        if results.send((id, lookup(name.as_str()))).is_err() {
            return;
        }
        let _ = waker.wake();
    }
}

/// Asks the system.
pub(super) fn host_lookup() -> Lookup {
    Arc::new(|name| match (name, 0).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.map(|address| address.ip()).collect()),
        // The standard library passes only the text of getaddrinfo's code on: EAI_AGAIN and EAI_FAIL
        // read like this in glibc, musl and the BSDs.
        Err(error) => {
            let text = error.to_string();
            let unsure = ["emporary failure", "Try again", "Non-recoverable"]
                .iter()
                .any(|part| text.contains(part));
            Err(if unsure { LookupError::Failed } else { LookupError::NotFound })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;
    use mio::{Poll, Token};

    const FLOW: FlowKey = FlowKey {
        source: std::net::SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 2), 5353),
        destination: std::net::SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 1), PORT),
    };

    fn question(name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn resolver(lookup: Lookup) -> (Resolver, Poll) {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        (Resolver::start(&lookup, &waker).unwrap(), poll)
    }

    /// Knows `known.example`, fails at `broken.example`, hangs at `slow.example` until told.
    fn fake(release: Arc<Mutex<()>>) -> Lookup {
        Arc::new(move |name| match name {
            "known.example" => Ok(vec!["::1".parse().unwrap(), [192, 0, 2, 1].into()]),
            "many.example" => Ok((0..200).map(|n| IpAddr::from([192, 0, 2, n])).collect()),
            "broken.example" => Err(LookupError::Failed),
            "slow.example" => {
                drop(release.lock().unwrap());
                Err(LookupError::Failed)
            }
            _ => Err(LookupError::NotFound),
        })
    }

    fn ask(resolver: &mut Resolver, question: &Message) -> Message {
        let now = Instant::now();
        let immediate = resolver.ask(PeerId(1), FLOW, &question.to_vec().unwrap(), now);
        if let Some(message) = immediate {
            return Message::from_vec(&message).unwrap();
        }
        while now.elapsed() < Duration::from_secs(5) {
            if let Some(answered) = resolver.take_answers(now).pop() {
                assert_eq!((answered.peer, answered.flow), (PeerId(1), FLOW));
                assert!(answered.message.len() <= 512);
                return Message::from_vec(&answered.message).unwrap();
            }
            thread::yield_now();
        }
        panic!("no answer");
    }

    #[test]
    fn answers_carry_the_right_code_and_addresses() {
        let (mut resolver, _poll) = resolver(fake(Arc::default()));
        for (name, kind, code, addresses) in [
            ("known.example.", RecordType::A, ResponseCode::NoError, 1),
            ("KNOWN.example.", RecordType::A, ResponseCode::NoError, 1),
            ("many.example.", RecordType::A, ResponseCode::NoError, ADDRESSES),
            ("known.example.", RecordType::AAAA, ResponseCode::NoError, 0),
            ("known.example.", RecordType::HTTPS, ResponseCode::NoError, 0),
            ("unknown.example.", RecordType::A, ResponseCode::NXDomain, 0),
            ("a.invalid.", RecordType::A, ResponseCode::NXDomain, 0),
            ("broken.example.", RecordType::A, ResponseCode::ServFail, 0),
        ] {
            let asked = question(name, kind);
            let message = ask(&mut resolver, &asked);
            assert_eq!(message.metadata.response_code, code, "{name} {kind}");
            assert_eq!(message.answers.len(), addresses, "{name} {kind}");
            assert_eq!(message.metadata.id, 7);
            assert_eq!(message.metadata.message_type, MessageType::Response);
            assert_eq!(message.queries, asked.queries);
        }
        let mut odd = question("example.", RecordType::A);
        let labels = [&b"with space"[..], b"example"];
        odd.queries[0].set_name(Name::from_labels(labels).unwrap());
        assert_eq!(ask(&mut resolver, &odd).metadata.response_code, ResponseCode::NXDomain);
        let known = ask(&mut resolver, &question("known.example.", RecordType::A));
        assert_eq!(known.answers[0].data, RData::A(A(Ipv4Addr::new(192, 0, 2, 1))));
    }

    #[test]
    fn what_is_not_a_question_gets_no_answer() {
        let (mut resolver, _poll) = resolver(fake(Arc::default()));
        let mut response = question("known.example.", RecordType::A);
        response.metadata.message_type = MessageType::Response;
        for bytes in [vec![], vec![0; 5], vec![0xff; 60], response.to_vec().unwrap()] {
            assert!(resolver.ask(PeerId(1), FLOW, &bytes, Instant::now()).is_none());
        }
        assert!(resolver.pending.is_empty());

        let mut two = question("known.example.", RecordType::A);
        two.add_query(two.queries[0].clone());
        assert_eq!(ask(&mut resolver, &two).metadata.response_code, ResponseCode::FormErr);
        let mut update = question("known.example.", RecordType::A);
        update.metadata.op_code = OpCode::Update;
        let sent = update.to_vec().unwrap();
        if let Some(message) = resolver.ask(PeerId(1), FLOW, &sent, Instant::now()) {
            let code = Message::from_vec(&message).unwrap().metadata.response_code;
            assert_eq!(code, ResponseCode::NotImp);
        }
    }

    #[test]
    fn questions_that_take_too_long_or_are_too_many_fail() {
        let release = Arc::new(Mutex::new(()));
        let held = release.lock().unwrap();
        let (mut resolver, _poll) = resolver(fake(Arc::clone(&release)));
        let slow = question("slow.example.", RecordType::A).to_vec().unwrap();
        let now = Instant::now();
        for _ in 0..PER_PEER {
            assert!(resolver.ask(PeerId(1), FLOW, &slow, now).is_none());
        }
        let refused = resolver.ask(PeerId(1), FLOW, &slow, now).unwrap();
        let code = Message::from_vec(&refused).unwrap().metadata.response_code;
        assert_eq!(code, ResponseCode::ServFail);

        assert!(resolver.take_answers(now).is_empty());
        let late = resolver.take_answers(now + PATIENCE);
        assert_eq!(late.len(), PER_PEER);
        for answered in late {
            let code = Message::from_vec(&answered.message).unwrap().metadata.response_code;
            assert_eq!(code, ResponseCode::ServFail);
        }
        drop(held);
    }
}
