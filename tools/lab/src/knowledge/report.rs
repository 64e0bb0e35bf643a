//! What was found, against what was expected.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::{Fact, Findings, Known, NEVER_TOGETHER, Party, TOGETHER, expected};

/// How many places a violation names.
const PLACES: usize = 3;

/// The outcome of an audit. As JSON: `{"knowledge":[..],"violations":[..]}`; as text: a table.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Every fact with every party.
    pub knowledge: Vec<Row>,
    /// Sentences; none when all is as expected.
    pub violations: Vec<String>,
}

/// One fact and one party.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The fact.
    pub fact: Fact,
    /// The party.
    pub party: Party,
    /// Whether the fact was found with it, of any person.
    pub knows: bool,
    /// Whether the table says so: then it must be found of every person, else of none.
    pub expected: bool,
    /// Where, and in what form; sorted, each once.
    #[serde(rename = "where")]
    pub places: Vec<String>,
}

impl Report {
    pub(super) fn new(known: &[Known], findings: &Findings) -> Self {
        let mut report = Self { knowledge: Vec::new(), violations: nothing_to_find(known) };
        for fact in Fact::ALL {
            for party in Party::ALL {
                report.judge(fact, party, known, findings);
            }
        }
        report.judge_together();
        report
    }

    /// Whether nothing is amiss.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether `fact` was found with `party`.
    #[must_use]
    pub fn knows(&self, party: Party, fact: Fact) -> bool {
        self.knowledge.iter().any(|row| row.party == party && row.fact == fact && row.knows)
    }

    fn judge(&mut self, fact: Fact, party: Party, known: &[Known], findings: &Findings) {
        let mut places = BTreeSet::new();
        let mut with = BTreeSet::new();
        let mut without = BTreeSet::new();
        for (index, one) in known.iter().enumerate().filter(|(_, one)| one.fact == fact) {
            match findings.of(party, index) {
                Some(found) => {
                    places.extend(found.iter().cloned());
                    with.insert(one.person);
                }
                None => _ = without.insert(one.person),
            }
        }
        // A person may have several of a fact (two devices, say): one of them is enough.
        let without: BTreeSet<usize> = without.difference(&with).copied().collect();
        let expected = expected(fact, party);
        let places: Vec<String> = places.into_iter().collect();
        let (party_name, fact_name) = (party.name(), fact.name());
        if expected && !without.is_empty() {
            self.violations.push(format!(
                "{party_name} should know {fact_name} of {}, and nothing shows it",
                people(&without)
            ));
        }
        if !expected && !with.is_empty() {
            let shown = places.iter().take(PLACES).cloned().collect::<Vec<_>>().join("; ");
            let more = match places.len().saturating_sub(PLACES) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            self.violations.push(format!(
                "{party_name} must not know {fact_name}, and has that of {}: {shown}{more}",
                people(&with)
            ));
        }
        let knows = !with.is_empty();
        self.knowledge.push(Row { fact, party, knows, expected, places });
    }

    /// The wall itself: nobody holds both, of whomever, but those who must.
    fn judge_together(&mut self) {
        let [one, other] = NEVER_TOGETHER;
        for party in Party::ALL {
            let both = self.knows(party, one) && self.knows(party, other);
            let (party_name, one, other) = (party.name(), one.name(), other.name());
            match (both, TOGETHER.contains(&party)) {
                (true, false) => self.violations.push(format!(
                    "{party_name} holds {one} and {other} together: the wall is broken"
                )),
                (false, true) => self.violations.push(format!(
                    "{party_name} should hold {one} and {other} together, and doesn't"
                )),
                _ => {}
            }
        }
    }
}

/// A fact that isn't there can't be found: a run that made none of it proves nothing.
fn nothing_to_find(known: &[Known]) -> Vec<String> {
    let persons: BTreeSet<usize> = known.iter().map(|one| one.person).collect();
    if persons.is_empty() {
        return vec!["the run had no persons: nothing was looked for".to_owned()];
    }
    let mut violations = Vec::new();
    for fact in Fact::ALL {
        let has = |person| known.iter().any(|one| one.fact == fact && one.person == person);
        let lacking: BTreeSet<usize> =
            persons.iter().copied().filter(|person| !has(*person)).collect();
        if !lacking.is_empty() {
            violations.push(format!(
                "the run gave no {} of {}: it was not looked for",
                fact.name(),
                people(&lacking)
            ));
        }
    }
    violations
}

fn people(persons: &BTreeSet<usize>) -> String {
    let numbers: Vec<String> = persons.iter().map(usize::to_string).collect();
    let noun = if persons.len() == 1 { "person" } else { "persons" };
    format!("{noun} {}", numbers.join(", "))
}

/// A table of at most 100 columns; then the violations.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in [
            ["", "", "", "blind", "", "", "", "", ""],
            ["", "", "", "token", "DIP", "enclave's", "", "", "backup"],
            [
                "", "client", "accounts", "service", "service", "parent", "enclave", "gateway",
                "service",
            ],
        ] {
            write_line(f, &line)?;
        }
        for fact in Fact::ALL {
            let mut line = vec![fact.name()];
            line.extend(self.knowledge.iter().filter(|row| row.fact == fact).map(Row::cell));
            write_line(f, &line)?;
        }
        for violation in &self.violations {
            writeln!(f, "! {violation}")?;
        }
        Ok(())
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, cells: &[&str]) -> fmt::Result {
    let mut line = String::new();
    for (index, cell) in cells.iter().enumerate() {
        let width = if index == 0 { 15 } else { 10 };
        line.push_str(&format!("{cell:<width$}"));
    }
    writeln!(f, "{}", line.trim_end())
}

impl Row {
    fn cell(&self) -> &'static str {
        let hashed =
            |place: &String| place.contains("(its SHA-256") || place.contains("(its BLAKE3");
        match (self.knows, self.expected) {
            (true, true) if self.places.iter().all(hashed) => "its hash",
            (true, true) => "yes",
            (false, false) => "-",
            (true, false) => "! LEAK",
            (false, true) => "! MISSING",
        }
    }
}
