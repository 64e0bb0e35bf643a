//! The demo: every service in a process of its own, people who get dedicated addresses, and the table of
//! who learned what, taken from what everybody really received and stored.

mod binaries;
mod device;
mod http;
mod keep;
mod left;
mod lifecycle;
mod people;
mod ports;
mod process;
mod resident;
mod result;
mod town;
mod walk;
mod web;
pub(crate) mod wire;

pub use binaries::Binaries;
pub use keep::{KeepOptions, Kept, Spare, Stopped, Untried, keep, stop};
pub use lifecycle::lifecycle;
pub use people::Person;
pub use ports::Ports;
pub use resident::become_resident;
pub use result::{DemoResult, PersonResult, Step};
pub(crate) use town::PARTIES;
pub use town::{REGION, Town, Zone};

pub use left::recordings;
pub(crate) use left::{Left, next_recording};
pub(crate) use walk::{Walk, Wires, walk};

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::knowledge::audit;

/// How a demo is run.
pub struct DemoOptions<'a> {
    /// All programs.
    pub binaries: &'a Binaries,
    /// How many people.
    pub users: usize,
    /// Which ports.
    pub ports: Ports,
    /// Hears progress, a line at a time.
    pub progress: &'a dyn Fn(&str),
    /// Whether the demo was told to stop: it does before the next step, and cleans up.
    pub interrupted: &'a AtomicBool,
}

/// Runs the demo in a temporary directory, which is gone afterwards.
///
/// # Errors
/// When a program can't be built or started, or a step fails. What was learned against the rules isn't an
/// error: it is in the result.
pub fn demo(options: &DemoOptions<'_>) -> Result<DemoResult> {
    let mut walk = walk(options, None)?;
    let Walk { left, known, metrics, steps, .. } = &mut walk;
    let report = steps.take("audit", || audit(known, &left.evidence(metrics)?))?;
    Ok(DemoResult::new(walk.steps.done, &walk.people, report))
}

/// Times each step and tells of it.
pub(crate) struct Steps<'a> {
    options: &'a DemoOptions<'a>,
    pub(crate) done: Vec<Step>,
}

impl<'a> Steps<'a> {
    const fn new(options: &'a DemoOptions<'a>) -> Self {
        Self { options, done: Vec::new() }
    }

    fn take<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        ensure!(!self.options.interrupted.load(Ordering::SeqCst), "interrupted");
        let begun = Instant::now();
        let value = step()?;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.options.progress)(&format!("{milliseconds:>7} ms  {name}"));
        self.done.push(Step { name: name.to_owned(), milliseconds });
        Ok(value)
    }
}
