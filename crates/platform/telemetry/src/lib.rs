//! Logs and metrics that hold no person and no minute.
//!
//! A log line that carries an exact time joins two services' logs, and a label that carries a token or
//! an address makes a metric a register of persons. So a line says the hour and nothing finer, only the
//! crates that the caller names may write one, and metrics have names and labels from the program's
//! text only, show rounded values, and change at full minutes and hours.

mod log;
mod metrics;

pub use log::{InitError, Log, LogTarget, init};
pub use metrics::{
    Bound, Counter, GRAIN, Histogram, Kind, Labels, Metrics, Named, Pace, Precision,
};
pub use tracing::Level;
