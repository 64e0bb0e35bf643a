//! What a demo showed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::Person;
use crate::knowledge::{Report, Row};

/// The result of a demo, as its JSON has it.
#[derive(Debug, Serialize)]
pub struct DemoResult {
    steps: Vec<Step>,
    users: usize,
    dedicated_ip: String,
    server_saw: String,
    people: Vec<PersonResult>,
    knowledge: Vec<Row>,
    violations: Vec<String>,
    #[serde(skip)]
    table: String,
}

/// One step and its time.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What was done.
    pub name: String,
    /// How long it took, for all people together.
    pub milliseconds: u64,
}

/// What one person got.
#[derive(Clone, Debug, Serialize)]
pub struct PersonResult {
    /// The network address that the person's device has.
    pub client_address: String,
    /// That of the device which took the dedicated address over from its backup.
    pub second_address: String,
    /// The address that was assigned.
    pub dedicated_ip: String,
    /// The address that the web server saw of both devices, before and after a refresh.
    pub server_saw: String,
}

impl DemoResult {
    pub(crate) fn new(steps: Vec<Step>, people: &[Person], report: Report) -> Self {
        let table = report.to_string();
        let people: Vec<PersonResult> = people.iter().map(Person::result).collect();
        let mut violations = report.violations;
        violations.extend(mismatches(&people));
        let first = people.first();
        let text = |field: fn(&PersonResult) -> &String| first.map(field).cloned();
        Self {
            steps,
            users: people.len(),
            dedicated_ip: text(|person| &person.dedicated_ip).unwrap_or_default(),
            server_saw: text(|person| &person.server_saw).unwrap_or_default(),
            people,
            knowledge: report.knowledge,
            violations,
            table,
        }
    }

    /// What shouldn't be.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// How many facts were looked for with how many parties.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.knowledge.len()
    }

    /// The people and what they got.
    #[must_use]
    pub fn people(&self) -> &[PersonResult] {
        &self.people
    }

    /// The result for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for person in &self.people {
            let PersonResult { client_address, second_address, dedicated_ip, server_saw } = person;
            // Writing to a string can't fail.
            let _ = writeln!(
                text,
                "the devices are {client_address} and {second_address}, their dedicated IP {dedicated_ip}; the web server saw {server_saw}"
            );
        }
        let _ = write!(text, "\nWho learned what:\n\n{}", self.table);
        if self.violations.is_empty() {
            text.push_str("\nNobody learned what they must not.");
        }
        text
    }
}

/// Whoever got no address of their own, or was seen under another.
fn mismatches(people: &[PersonResult]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut seen = BTreeSet::new();
    for PersonResult { dedicated_ip, server_saw, .. } in people {
        if dedicated_ip != server_saw {
            violations.push(format!("the web server saw {server_saw} instead of {dedicated_ip}"));
        }
        if !seen.insert(dedicated_ip) {
            violations.push(format!("{dedicated_ip} was assigned twice"));
        }
    }
    violations
}
