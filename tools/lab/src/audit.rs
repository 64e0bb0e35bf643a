//! The whole knowledge audit: who learned what in a run with several people, what stands where it mustn't, whether anybody who
//! steals both sides' disks can pair them, and whether what people run is free of taps.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::demo::{Binaries, DemoOptions, DemoResult, Person, Ports, Town, Wires, Zone, walk};
use crate::inspect::{Kind, Violation};
use crate::knowledge::{Fact, Known};
use crate::look::look;
use crate::pairing::{Tally, guess, observe};

/// People of a run that a thief looks at.
const PERSONS: usize = 12;
/// Runs for each way of ending.
const RUNS: usize = 5;

/// How an audit is made.
pub struct AuditOptions<'a> {
    /// All programs.
    pub binaries: &'a Binaries,
    /// How many people take part in the run whose table is asserted.
    pub users: usize,
    /// Hears progress, a line at a time.
    pub progress: &'a dyn Fn(&str),
}

impl<'a> AuditOptions<'a> {
    /// How a run is made for it.
    pub(crate) const fn run(&self, interrupted: &'a AtomicBool) -> DemoOptions<'a> {
        DemoOptions {
            binaries: self.binaries,
            users: self.users,
            ports: Ports::Free,
            progress: self.progress,
            interrupted,
        }
    }
}

/// The result of an audit.
#[derive(Debug, Serialize)]
pub struct AuditResult {
    /// Nothing in an audit is drawn from a seed.
    pub seed: Option<u64>,
    /// Runs made: one for the table, the rest for the thief.
    pub runs: usize,
    /// What was checked.
    pub checked: Checked,
    /// What shouldn't be.
    pub violations: Vec<Violation>,
    /// The table for people.
    #[serde(skip)]
    pub table: String,
}

/// What an audit checked.
#[derive(Debug, Default, Serialize)]
pub struct Checked {
    /// Cells of the knowledge table: a fact with a party.
    pub cells: usize,
    /// Columns of databases, each known and described.
    pub columns: usize,
    /// Headers of requests and answers.
    pub headers: usize,
    /// Ways of pairing that the thief tried, after a clean stop.
    pub strategies_after_stop: usize,
    /// Ways of pairing that the thief tried, after kill -9.
    pub strategies_after_kill: usize,
    /// Programs without a tap.
    pub programs_without_tap: usize,
    /// Programs with one.
    pub programs_with_tap: usize,
}

/// How a run that a thief looks at ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stop,
    Kill,
}

/// Makes the audit.
///
/// # Errors
/// When something can't be run. What is found isn't an error: it is in the result.
pub fn audit(options: &AuditOptions<'_>) -> Result<AuditResult> {
    let binaries = options.binaries;
    let mut violations = Vec::new();
    let mut checked = Checked::default();

    (options.progress)("taps: which programs hold one");
    checked.programs_without_tap = taps(&binaries.released(), false, &mut violations)?;
    checked.programs_with_tap = taps(&binaries.tapped(), true, &mut violations)?;

    (options.progress)("knowledge: a run with everybody listening");
    let interrupted = AtomicBool::new(false);
    let run = options.run(&interrupted);
    let walk = walk(&run, Some(Wires { lie: None }))?;
    let found = look(&walk, &walk.left)?;
    checked.columns = found.columns;
    checked.headers = found.headers;
    violations.extend(found.violations);
    let demo = DemoResult::new(walk.steps.done, &walk.people, found.report);
    checked.cells = demo.cells();
    violations
        .extend(demo.violations().iter().map(|what| Violation::general(Kind::Knowledge, what)));

    for end in [End::Stop, End::Kill] {
        let how = if end == End::Stop { "a clean stop" } else { "kill -9" };
        let mut tally = Tally::new(PERSONS);
        for run in 1..=RUNS {
            (options.progress)(&format!(
                "pairing: both sides' disks after {how}, run {run} of {RUNS}"
            ));
            steal(binaries, end, &mut tally)?;
        }
        ensure!(tally.could_tell(), "too few runs to tell order from chance");
        if tally.strategies() == 0 {
            violations.push(Violation::general(
                Kind::Order,
                format!("after {how} the thief found nobody on one of the sides"),
            ));
        }
        for outcome in tally.beats_chance() {
            let what = format!(
                "after {how}, {} pairs {} right where chance gets {:.1} (probability {:.1e})",
                outcome.strategy, outcome.correct, outcome.by_chance, outcome.probability
            );
            violations.push(Violation::general(Kind::Order, what));
        }
        match end {
            End::Stop => checked.strategies_after_stop = tally.strategies(),
            End::Kill => checked.strategies_after_kill = tally.strategies(),
        }
    }
    let (seed, runs) = (None, 1 + 2 * RUNS);
    Ok(AuditResult { seed, runs, checked, violations, table: demo.table() })
}

/// A run in which one person comes after the other, on both sides, and the thief's guesses afterwards.
fn steal(binaries: &Binaries, end: End, tally: &mut Tally) -> Result<()> {
    let room = tempfile::Builder::new().prefix("cloakroom-audit-").tempdir()?;
    let zone = Zone { root: room.path().to_owned(), ports: Ports::Free, tapped: false };
    let mut town = Town::found(binaries, zone)?.open()?;
    let (mut identity, mut address) = (Vec::new(), Vec::new());
    for number in 0..PERSONS {
        let mut person = Person::new(&town, number)?;
        person.trust()?;
        person.login()?;
        person.assign()?;
        person.back_up()?;
        person.register()?;
        let (subscription, lease) = person.secret_pair()?;
        identity.push(Known::new(Fact::Subscription, number, subscription));
        address.push(Known::new(Fact::Lease, number, lease));
        address.push(Known::address(Fact::DedicatedIp, number, person.dedicated_ip()?));
        address.push(Known::new(Fact::DeviceKey, number, person.device_key()?));
        address.push(Known::new(Fact::BackupLocator, number, person.locator()?));
    }
    match end {
        End::Stop => town.close()?,
        End::Kill => town.crash()?,
    }
    let stolen = |services: &[&'static str]| town.side(services);
    let (left, right) =
        (stolen(&["accounts", "issuer"]), stolen(&["parent", "dip", "gateway", "backup"]));
    let identity = observe(&identity, &by_name(&left))?;
    let address = observe(&address, &by_name(&right))?;
    tally.add(guess(&identity, &address));
    Ok(())
}

fn by_name(stolen: &[(String, PathBuf)]) -> Vec<(&str, &Path)> {
    stolen.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect()
}

/// Checks that each program holds a tap, or that none does, and counts them.
fn taps(programs: &[PathBuf], expected: bool, violations: &mut Vec<Violation>) -> Result<usize> {
    let marker = record::TAP_MARKER.as_bytes();
    for program in programs {
        let bytes =
            std::fs::read(program).with_context(|| format!("{} is missing", program.display()))?;
        let holds = aho_corasick::AhoCorasick::new([marker])?.find(&bytes).is_some();
        if holds != expected {
            let what = if holds { "holds a tap" } else { "holds no tap" };
            violations.push(Violation::general(Kind::Tap, format!("{} {what}", program.display())));
        }
    }
    Ok(programs.len())
}
