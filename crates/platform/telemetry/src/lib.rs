//! Logs and counters that hold no person and no minute.
//!
//! A log line that carries an exact time joins two services' logs, and a label that carries a token or
//! an address makes a metric a register of persons. So a line says the hour and nothing finer, only the
//! crates that the caller names may write one, and counters have names and labels from the program's
//! text only and show rounded values.

mod counters;
mod log;

pub use counters::{Counter, Counters, GRAIN};
pub use log::{InitError, Log, LogTarget, init};
pub use tracing::Level;
