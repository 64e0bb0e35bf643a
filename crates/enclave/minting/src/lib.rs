//! What the enclave decides: who gets tokens for which address.
//!
//! This is the one place on the server's side that sees subscription and address together. It is pure: no
//! I/O, no clock, nothing kept from one request to the next. A sealed request goes in with the DIP
//! service's order; out come tokens that only the asking client can read, and a signed grant that names
//! nobody. Whatever is wrong with a request is told to its sender alone, in an answer that looks like any other.

mod decide;
mod drt;
mod message;
mod mint;

pub use drt::Drt;
pub use message::{Answer, AssignRequest, Minted, RefreshRequest, Refusal};
pub use mint::{Mint, Observer, Outcome};
