//! The demo: every service in a process of its own, people who get dedicated addresses, and the table of
//! who learned what, taken from what everybody really received and stored.

mod binaries;
mod http;
mod keep;
mod people;
mod ports;
mod process;
mod resident;
mod result;
mod town;
mod web;

pub use binaries::Binaries;
pub use keep::{KeepOptions, Kept, Spare, Stopped, Untried, keep, stop};
pub use people::Person;
pub use ports::Ports;
pub use resident::become_resident;
pub use result::{DemoResult, PersonResult, Step};
pub use town::{Town, Zone};

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
    let binaries = options.binaries;
    let room = tempfile::Builder::new().prefix("cloakroom-demo-").tempdir()?;
    let mut steps = Steps::new(options);

    let zone = Zone { root: room.path().to_owned(), ports: options.ports, tapped: true };
    let town = steps.take("keys, pool and configuration", || Town::found(binaries, zone))?;
    let mut town = steps.take("services", || town.open())?;
    let mut people = steps.take("accounts", || Person::all(&town, options.users))?;
    for (name, step) in people::STEPS {
        steps.take(name, || people::together(&mut people, step))?;
    }
    let extras = town.shown()?;
    steps.take("stop", || town.close())?;
    let report = steps.take("audit", || {
        let known = people::known(&people, &town)?;
        audit(&known, &town.evidence(&people, extras))
    })?;
    let Steps { done, .. } = steps;
    Ok(DemoResult::new(done, &people, report))
}

/// Times each step and tells of it.
struct Steps<'a> {
    options: &'a DemoOptions<'a>,
    done: Vec<Step>,
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
