//! Runs every service on one machine: the demo and the knowledge audit.
//!
//! - [`demo()`]: every service in a process of its own, and people who use them;
//! - [`keep()`] and [`stop()`]: the same services, left running in a directory, and ended;
//! - [`audit()`]: the whole knowledge audit, with a thief who tries to pair the two sides;
//! - [`knowledge`]: what each party of a run could know, compared with what it may know;
//! - [`pairing`]: an attacker who has both sides' disks and tries to join them by order.
//!
//! Services are processes here; none is linked.

mod audit;
mod demo;
mod disk;
pub mod knowledge;
pub mod pairing;

pub use audit::{AuditOptions, AuditResult, Checked, audit};
pub use demo::{
    Binaries, DemoOptions, DemoResult, KeepOptions, Kept, Person, PersonResult, Ports, Spare, Step,
    Stopped, Town, Untried, Zone, become_resident, demo, keep, stop,
};
