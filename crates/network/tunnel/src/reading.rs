//! What the tunnel's readers make of bytes, each for itself: without sockets, threads or a clock.
//!
//! The exit reads inner packets and DNS questions, the client DNS answers and what a proxy's client sends. Here
//! the same readers can be asked one at a time, by whoever watches a tunnel or tests them.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use crate::client::{self, Handshake, Host, Step};
use crate::exit::{DnsQuestion, answer_question, read_question};
use crate::packet::{self, FlowKey, Ipv4};

/// The addresses and ports of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who opened it.
    pub source: SocketAddrV4,
    /// Whom it goes to.
    pub destination: SocketAddrV4,
}

/// An inner packet that isn't a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner<'a> {
    /// Whose it says it is.
    pub source: Ipv4Addr,
    /// Where it goes.
    pub destination: Ipv4Addr,
    /// The protocol's number.
    pub protocol: u8,
    /// What is behind the IP header, without padding.
    pub payload: &'a [u8],
    /// What the payload is.
    pub content: Content<'a>,
}

/// What an inner packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A datagram of this flow.
    Udp(Flow, &'a [u8]),
    /// A segment of this flow.
    Tcp {
        /// The flow.
        flow: Flow,
        /// Whether it asks for a new connection.
        opens: bool,
        /// Its sequence number.
        sequence: u32,
    },
    /// The news that a flow's destination can't be reached; true when it is only the port.
    Unreachable(Flow, bool),
    /// Something that is dropped.
    Other,
}

/// Reads an inner packet, as both ends do; nothing for what they drop unread.
#[must_use]
pub fn inner(packet: &[u8]) -> Option<Inner<'_>> {
    let ip = Ipv4::parse(packet)?;
    let content = if let Some((flow, payload)) = ip.udp() {
        Content::Udp(flow.into(), payload)
    } else if let Some((flow, opening)) = ip.tcp() {
        let packet::TcpOpening { opens, sequence } = opening;
        Content::Tcp { flow: flow.into(), opens, sequence }
    } else if let Some((_, flow, what)) = ip.unreachable() {
        Content::Unreachable(flow.into(), what == packet::Unreachable::Port)
    } else {
        Content::Other
    };
    let Ipv4 { source, destination, protocol, payload } = ip;
    Some(Inner { source, destination, protocol, payload, content })
}

/// A datagram of a flow as an inner packet, if it fits into `mtu` bytes.
#[must_use]
pub fn datagram(flow: Flow, payload: &[u8], mtu: usize) -> Option<Vec<u8>> {
    packet::udp_packet(flow.source, flow.destination, payload, mtu).map(Vec::from)
}

/// What the exit makes of a DNS question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Nothing: it isn't one.
    Dropped,
    /// It is answered at once, with this message.
    Answered(Vec<u8>),
    /// This name is looked up.
    Lookup(String),
}

/// Reads a DNS question as the exit's resolver does.
#[must_use]
pub fn question(message: &[u8]) -> Question {
    match read_question(message) {
        DnsQuestion::Dropped => Question::Dropped,
        DnsQuestion::Answered(answer) => Question::Answered(answer),
        DnsQuestion::Lookup(name) => Question::Lookup(name.to_string()),
    }
}

/// The exit's answer to a question once the name's addresses are known; nothing for what is no question.
#[must_use]
pub fn answer(question: &[u8], addresses: &[IpAddr]) -> Option<Vec<u8>> {
    answer_question(question, addresses)
}

/// The addresses in a DNS answer, as the client takes them; nothing when there are none, for whatever reason.
#[must_use]
pub fn addresses(answer: &[u8]) -> Option<Vec<Ipv4Addr>> {
    client::read_answer(answer)
}

/// What a proxy and its client say to each other before the connection: SOCKS5, or HTTP CONNECT.
#[derive(Default)]
pub struct ProxyTalk(Handshake);

/// What the proxy does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It waits for more.
    Wait,
    /// It connects to this host (a name in lower case, or an address) and port.
    Connect(String, u16),
    /// It closes.
    Close,
}

impl ProxyTalk {
    /// How many bytes the proxy would still read.
    #[must_use]
    pub fn room(&self) -> usize {
        self.0.room()
    }

    /// Takes in what the client sent; what the proxy answers is put behind `answers`.
    pub fn receive(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> Next {
        match self.0.receive(bytes, answers) {
            Step::Wait => Next::Wait,
            Step::Close => Next::Close,
            Step::Connect(target) => {
                let host = match target.host {
                    Host::Address(address) => address.to_string(),
                    Host::Name(name) => name.to_string(),
                };
                Next::Connect(host, target.port)
            }
        }
    }

    /// What the client sent behind its request: it belongs to the connection.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.0.take_rest()
    }
}

impl From<FlowKey> for Flow {
    fn from(FlowKey { source, destination }: FlowKey) -> Self {
        Self { source, destination }
    }
}
