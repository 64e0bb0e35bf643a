//! WireGuard in process, flows out of host sockets; no root.
//!
//! Two ends of a tunnel, each one thread:
//! - an [`Exit`] takes peers in that hold a [`PeerGrant`] and opens their flows anew from host sockets,
//!   each peer's from its own address, as far as a [`DestinationPolicy`] lets it. Flows to its own [`Control`] port it
//!   hands over with the key of the peer that opened them;
//! - a [`Client`] offers a proxy on loopback (SOCKS5 and HTTP CONNECT) whose flows leave at the exit.
//!
//! Either end speaks plain WireGuard, so either may be somebody else's: [`wg_quick_config`] writes the
//! configuration for a stock client. The protocol itself is `gotatun`'s.

mod client;
mod error;
mod exit;
mod host_name;
mod keys;
mod outer;
mod packet;
mod policy;
mod quick;
pub mod reading;
mod splice;
mod stack;

pub use client::{Client, ClientConfig, ClientHandle, Status};
pub use error::{DEFAULT_MTU, TunnelError};
pub use exit::{
    Control, ControlFlow, Exit, ExitConfig, ExitHandle, ExitWatch, Handshakes, Limits, Now,
    Observer, PeerGrant, TakeFlow,
};
pub use policy::{DestinationPolicy, Network, NetworkError, NeverRule, Refusal};
pub use quick::{QuickConfig, wg_quick_config};

#[cfg(test)]
mod tests;
