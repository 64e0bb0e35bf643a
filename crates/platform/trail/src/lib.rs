//! The audit trail of what operators did, one for each service.
//!
//! A line is a JSON object: the hour, who (a label that the operator gives, or the user of the operating system), what was done to
//! what, what came of it, and two hashes. Each line's hash covers the line and the hash of the one before, so that a line
//! that was edited, left out or moved breaks the chain; lines cut off at the end are found by whoever noted the head's hash
//! ([`Trail::verify`] takes it).
//!
//! Nothing that a client does gets in here, no time finer than the hour, and nothing that the service's side may not know. The
//! order of lines is the order of the operator's acts, which no row of a customer shares.

mod chain;
mod command;
mod file;

pub use chain::{Broken, Entry, GENESIS, Hash, Head, Line};
pub use command::{Operator, TrailCommand, run};
pub use file::{Trail, TrailError};
