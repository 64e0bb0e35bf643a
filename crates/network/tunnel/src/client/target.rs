//! Where a proxy is asked to connect to, and why it can't.

use std::net::{IpAddr, Ipv4Addr};

use crate::host_name::HostName;

/// What a proxy's client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: Host,
    /// Not zero.
    pub(crate) port: u16,
}

/// A destination that a tunnel can carry: IPv4, or a name that the exit looks up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Address(Ipv4Addr),
    Name(HostName),
}

impl Target {
    /// Reads a host as text: a name or an address, IPv6 perhaps in brackets.
    pub(super) fn new(host: &str, port: u16) -> Result<Self, Failure> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = match bare.parse() {
            Ok(IpAddr::V4(address)) if bare == host => Host::Address(address),
            Ok(IpAddr::V6(_)) => return Err(Failure::AddressKind),
            _ => Host::Name(host.parse().map_err(|_| Failure::Malformed)?),
        };
        if port == 0 { Err(Failure::Malformed) } else { Ok(Self { host, port }) }
    }
}

/// Why a proxy's client doesn't get its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Not a request of the protocol.
    Malformed,
    /// A request of more than what any client sends.
    TooLong,
    /// The protocol's client wants something else than a connection.
    Command,
    /// The destination is an IPv6 address.
    AddressKind,
    /// There is no such name.
    NameNotFound,
    /// The exit's resolver couldn't tell.
    Resolver,
    /// The destination, or the exit on its behalf, refused.
    Refused,
    /// There is no way to the destination.
    Unreachable,
    /// The destination didn't answer in time.
    TimedOut,
    /// The tunnel itself doesn't stand.
    NoTunnel,
    /// The proxy can't take any more.
    Busy,
}

/// What the bytes of a message amount to so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    /// More must come.
    Incomplete,
    /// The message, and how many bytes it took.
    Done(T, usize),
    /// Whatever comes, it won't be right.
    Failed(Failure),
}
