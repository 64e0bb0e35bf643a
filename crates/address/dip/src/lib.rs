//! The DIP service: a pool of addresses, leased against tokens.
//!
//! Whoever shows a `dedicated-ip` token gets an address of the pool, and nobody says who that is: the service
//! sees tokens that nobody can link to a subscription, and sealed requests that only the enclave opens. It
//! reserves, orders tokens of the enclave, and commits when a signed grant comes back.
//!
//! - [`store`]: what is kept, and the transactions;
//! - [`TokenGate`]: which tokens are taken;
//! - [`Enclave`]: who mints;
//! - [`router`]: the HTTP interface over these;
//! - [`main`]: the program.

mod acts;
mod command;
mod demand;
mod enclave;
mod gate;
mod http;
mod journal;
mod ledger;
mod live_gate;
mod measure;
mod program;
mod serve;
mod state;
pub mod store;
mod table;

pub use demand::Demand;
pub use enclave::{Enclave, MintError, MintFor, Minted, ParentEnclave};
pub use gate::{Admitted, Refused, TokenGate};
pub use http::{Dip, router};
pub use journal::Journal;
pub use ledger::Ledger;
pub use live_gate::{GateError, LiveGate};
pub use measure::Measures;
pub use program::main;
pub use table::{DESCRIPTION, ROUTES};
