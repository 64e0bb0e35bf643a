//! The audit audited: leaks are planted in real runs, and the audit has to find each by name.
//!
//! Nothing that is shipped can leak on command. A leak on disk is planted in a copy of what a run left: rows are written into the
//! very databases, lines into the very logs, and the audit reads them as it reads all others. A leak on the network is planted
//! while the run is under way, by a wire that alters messages ([`Lie`]): what it adds is received by the next tap.
//!
//! A leak counts as found when a violation of its kind names its party and its place, and when nobody else is blamed.

mod list;

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::audit::AuditOptions;
use crate::demo::wire::Lie;
use crate::demo::{Wires, walk};
use crate::inspect::{Kind, Violation};
use crate::knowledge::Party;
use crate::look::{Found, look};
use list::{Ground, How, PLANTS, Plant};

/// The result of an audit of the audit.
#[derive(Debug, Serialize)]
pub struct PlantResult {
    /// Nothing in it is drawn from a seed.
    pub seed: Option<u64>,
    /// Runs made.
    pub runs: usize,
    /// What was checked.
    pub checked: PlantsChecked,
    /// Each leak.
    pub planted: Vec<Planted>,
    /// Leaks that weren't found by name, and what was found where nothing was planted.
    pub violations: Vec<String>,
}

/// What an audit of the audit checked.
#[derive(Debug, Default, Serialize)]
pub struct PlantsChecked {
    /// Leaks planted.
    pub planted: usize,
    /// Leaks found by name.
    pub found: usize,
    /// Evaluations without a leak, which have to find nothing.
    pub controls: usize,
}

/// What became of one leak.
#[derive(Clone, Debug, Serialize)]
pub struct Planted {
    /// Its kind.
    pub kind: Kind,
    /// What was planted.
    pub form: &'static str,
    /// Whom and what place the audit had to name.
    pub expected: Vec<(Party, &'static str)>,
    /// Whether it did.
    pub found: bool,
    /// What it said.
    pub said: Vec<String>,
}

/// Plants leaks of these kinds in real runs, and says which of them the audit finds by name. Without a leak it has to find
/// nothing: neither in what a run left nor in a copy of that.
///
/// # Errors
/// When something can't be run or planted.
pub fn audit_the_audit(options: &AuditOptions<'_>, kinds: &[Kind]) -> Result<PlantResult> {
    ensure!(options.users > 1, "what differs from caller to caller takes two of them");
    let interrupted = AtomicBool::new(false);
    let run = options.run(&interrupted);
    let (mut violations, mut planted) = (Vec::new(), Vec::new());
    let mut checked = PlantsChecked::default();
    let chosen: Vec<&Plant> = PLANTS.iter().filter(|plant| kinds.contains(&plant.kind)).collect();

    (options.progress)("a run without a leak");
    let honest = walk(&run, Some(Wires { lie: None }))?;
    let mut runs = 1;
    let copies = tempfile::Builder::new().prefix("cloakroom-audit-").tempdir()?;
    let untouched = honest.left.copy(&copies.path().join("untouched"))?;
    for left in [&honest.left, &untouched] {
        checked.controls += 1;
        let found = look(&honest, left)?;
        let all = found.all().into_iter().map(|what| format!("nothing was planted, and: {what}"));
        violations.extend(all);
    }
    for (number, plant) in chosen.iter().enumerate() {
        let How::Disk(plant_it) = plant.how else { continue };
        (options.progress)(&format!("{}: {}", plant.kind.name(), plant.form));
        let left = honest.left.copy(&copies.path().join(number.to_string()))?;
        let (known, served_from) = (honest.known.as_slice(), honest.served_from);
        plant_it(&Ground { root: &left.root, known, served_from })?;
        let found = look(&honest, &left)?;
        planted.push(judge(plant, &[plant], &found, &mut violations));
    }
    for lie in [Lie::Header, Lie::Metric, Lie::ErrorText] {
        let told: Vec<&Plant> = chosen
            .iter()
            .copied()
            .filter(|plant| matches!(plant.how, How::Wire(by) if by == lie))
            .collect();
        let Some(first) = told.first() else { continue };
        (options.progress)(&format!("{}: a run with wires that lie", first.kind.name()));
        let lied = walk(&run, Some(Wires { lie: Some(lie) }))?;
        runs += 1;
        let found = look(&lied, &lied.left)?;
        planted.extend(told.iter().map(|plant| judge(plant, &told, &found, &mut violations)));
    }
    checked.planted = planted.len();
    checked.found = planted.iter().filter(|one| one.found).count();
    Ok(PlantResult { seed: None, runs, checked, planted, violations })
}

/// What became of one leak; `together` were planted at once.
fn judge(
    plant: &Plant,
    together: &[&Plant],
    found: &Found,
    violations: &mut Vec<String>,
) -> Planted {
    let mine = |one: &&Violation| {
        one.kind == plant.kind && plant.expected.iter().any(|(party, _)| Some(*party) == one.party)
    };
    let said = found.violations.iter().filter(mine).map(Violation::to_string).collect();
    let mut is_found = plant.found(&found.violations);
    let mut amiss = |what: String| {
        is_found = false;
        violations.push(format!("{}: {}: {what}", plant.kind.name(), plant.form));
    };
    if !plant.found(&found.violations) {
        amiss("not found by name".to_owned());
    }
    for wrong in Plant::wrongly_blamed(together, &found.violations) {
        amiss(format!("somebody else was blamed: {wrong}"));
    }
    match plant.learns {
        Some((party, fact)) if !found.report.knows(party, fact) => {
            amiss(format!("the table doesn't say that {} knows {}", party.name(), fact.name()));
        }
        None if !together.iter().any(|one| one.learns.is_some()) && !found.report.is_clean() => {
            amiss(format!("the table is wrong: {}", found.report.violations.join("; ")));
        }
        _ => {}
    }
    Planted {
        kind: plant.kind,
        form: plant.form,
        expected: plant.expected.to_vec(),
        found: is_found,
        said,
    }
}
