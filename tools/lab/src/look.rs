//! Looking at what a run left: who learned what, and what stands where.

use anyhow::{Result, ensure};

use crate::demo::{Left, PARTIES, Walk, recordings};
use crate::inspect::{Facts, Home, Said, Violation, said, stored};
use crate::knowledge::{Report, audit as learned};

/// What both looks at a run found.
pub(crate) struct Found {
    pub(crate) report: Report,
    pub(crate) columns: usize,
    pub(crate) headers: usize,
    pub(crate) violations: Vec<Violation>,
}

impl Found {
    /// Everything, in words.
    pub(crate) fn all(&self) -> Vec<String> {
        let places = self.violations.iter().map(Violation::to_string);
        places.chain(self.report.violations.iter().cloned()).collect()
    }
}

/// Looks at what a run left: who learned what, and what stands where.
pub(crate) fn look(walk: &Walk<'_>, left: &Left) -> Result<Found> {
    let mut evidence = left.evidence(&walk.metrics)?;
    for one in &mut evidence {
        let answers = walk.answers.iter().filter(|answer| answer.party == one.party);
        // Several pieces of evidence may be of one party: what it said counts once.
        if !one.state.is_empty() {
            let said = answers.map(|answer| {
                (format!("what it answered at {}", answer.path), answer.message.write())
            });
            one.extras.extend(said);
        }
    }
    let report = learned(&walk.known, &evidence)?;
    let facts = Facts::new(&walk.known)?;
    let (mut columns, mut violations, mut told) = (0, Vec::new(), Vec::new());
    for (party, service) in PARTIES {
        let root = left.root.join(service);
        let recordings = recordings(&root)?;
        let home = Home { party, service, root, served_from: walk.served_from };
        let (seen, found) = stored(&home, &facts)?;
        columns += seen;
        violations.extend(found);
        let answers = walk.answers.iter().filter(|answer| answer.party == party);
        let answers = answers.map(|answer| (answer.path.clone(), answer.message.clone())).collect();
        told.push(Said { party, recordings, answers, logs: left.logs(service) });
    }
    let (headers, found) = said(&told, &facts)?;
    violations.extend(found);
    ensure!(columns > 0 && headers > 0, "the run left no column or no header to look at");
    Ok(Found { report, columns, headers, violations })
}
