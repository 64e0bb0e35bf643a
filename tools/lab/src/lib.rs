//! Runs every service on one machine: the demo and the knowledge audit.
//!
//! - [`demo()`]: every service in a process of its own, and people who use them;
//! - [`lifecycle()`]: a lease's whole life, on clocks that are moved;
//! - [`keep()`] and [`stop()`]: the same services, left running in a directory, and ended;
//! - [`audit()`]: the whole knowledge audit, with a thief who tries to pair the two sides;
//! - [`audit_the_audit`]: whether that finds the leaks that are planted;
//! - [`knowledge`]: what each party of a run could know, compared with what it may know;
//! - [`pairing`]: an attacker who has both sides' disks and tries to join them by order.
//!
//! Services are processes here; none is linked.

mod audit;
mod demo;
mod disk;
mod inspect;
pub mod knowledge;
mod look;
mod message;
pub mod pairing;
mod plant;

pub use audit::{AuditOptions, AuditResult, Checked, audit};
pub use demo::{
    Binaries, DemoOptions, DemoResult, KeepOptions, Kept, Person, PersonResult, Ports, REGION,
    Spare, Step, Stopped, Town, Untried, Zone, become_resident, demo, keep, lifecycle, recordings,
    stop,
};
pub use inspect::{Kind, Violation};
pub use plant::{PlantResult, Planted, PlantsChecked, audit_the_audit};
