//! The gateway: leased addresses to WireGuard peers.
//!
//! A device shows its DAT and becomes a peer until the token ends; what it sends through its tunnel leaves
//! from the address that the token names. The gateway knows addresses and devices, and no customer.
//!
//! - [`Gateway`]: who may be a peer, and what devices of one address may do to each other;
//! - [`grants`]: what is kept, so that a restart cuts nobody off;
//! - [`refused_destinations`]: where no peer gets to;
//! - [`router`]: the control API over these;
//! - [`inside_router`]: what is asked from inside tunnels, by a [`way_in`] that says who asks;
//! - [`main`]: the program.

mod admission;
mod destinations;
mod devices;
pub mod grants;
mod http;
mod inside;
mod measure;
mod program;
mod serve;
mod state;
mod table;

pub use admission::{Gateway, Refused, Terms};
pub use destinations::refused_destinations;
pub use devices::Unserved;
pub use http::router;
pub use inside::{Asker, inside_router, way_in};
pub use program::main;
pub use table::{DESCRIPTION, ROUTES};
