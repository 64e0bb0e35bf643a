//! The enclave's parent: the one door to it.
//!
//! The parent boots the enclave, keeps its wrapped minting key, and carries frames between HTTP and the enclave's
//! stream. It can open nothing of what it carries, and it logs nothing of it. Clients reach
//! `/attestation` alone; what mints wants the DIP service's order, which the enclave checks.

mod dial;
mod link;
mod program;
mod routes;
mod table;

pub use link::{Link, LinkError};
pub use program::main;
pub use routes::router;
pub use table::{DESCRIPTION, ROUTES};
