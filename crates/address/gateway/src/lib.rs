//! The gateway: leased addresses to WireGuard peers.
//!
//! A device shows its DAT and becomes a peer until the token ends; what it sends through its tunnel leaves
//! from the address that the token names. The gateway knows addresses and devices, and no customer.
//!
//! - [`Gateway`]: who may be a peer;
//! - [`grants`]: what is kept, so that a restart cuts nobody off;
//! - [`refused_destinations`]: where no peer gets to;
//! - [`router`]: the control API over these;
//! - [`main`]: the program.

mod admission;
mod destinations;
pub mod grants;
mod http;
mod measure;
mod program;
mod serve;
mod state;
mod table;

pub use admission::{Gateway, Refused};
pub use destinations::refused_destinations;
pub use http::router;
pub use program::main;
pub use table::{DESCRIPTION, ROUTES};
