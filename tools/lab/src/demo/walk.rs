//! One run from beginning to end: a provider is founded, people walk all steps, everything stops.

use std::time::SystemTime;

use anyhow::Result;
use tempfile::TempDir;

use super::people::{self, Person};
use super::wire::{Answer, Lie, Passed};
use super::{DemoOptions, Left, Steps, Town, Zone};
use crate::knowledge::{Known, Party};

/// What came of a run.
pub(crate) struct Walk<'a> {
    /// What it left on disk; gone with this value.
    pub(crate) left: Left,
    /// What its people know.
    pub(crate) known: Vec<Known>,
    /// What services showed to whoever asks.
    pub(crate) metrics: Vec<(Party, Vec<u8>)>,
    /// What services answered, if there were wires.
    pub(crate) answers: Vec<Answer>,
    /// When the first person came.
    pub(crate) served_from: SystemTime,
    /// The steps taken.
    pub(crate) steps: Steps<'a>,
    /// The people.
    pub(crate) people: Vec<Person>,
    _room: TempDir,
}

/// How wires are put before the services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wires {
    /// What they alter.
    pub(crate) lie: Option<Lie>,
}

/// Makes a run in a temporary directory. With wires the answers are kept, and people also ask for what is refused.
pub(crate) fn walk<'a>(options: &'a DemoOptions<'a>, wires: Option<Wires>) -> Result<Walk<'a>> {
    let room = tempfile::Builder::new().prefix("cloakroom-demo-").tempdir()?;
    let mut steps = Steps::new(options);
    let passed = Passed::default();
    let zone = Zone { root: room.path().to_owned(), ports: options.ports, tapped: true };
    let town = steps.take("keys, pool and configuration", || {
        let town = Town::found(options.binaries, zone)?;
        match wires {
            Some(Wires { lie }) => town.wired(&passed, lie),
            None => Ok(town),
        }
    })?;
    let mut town = steps.take("services", || town.open())?;
    let served_from = SystemTime::now();
    let mut people = steps.take("accounts", || Person::all(&town, options.users))?;
    for (name, step) in people::STEPS {
        steps.take(name, || people::together(&mut people, step))?;
    }
    if wires.is_some() {
        steps.take("what is refused", || people::together(&mut people, |one| one.err(&town)))?;
    }
    let metrics = town.shown()?;
    steps.take("stop", || town.close())?;
    let known = people::known(&people, &town)?;
    let left = Left { root: room.path().to_owned() };
    let answers = passed.answers();
    Ok(Walk { left, known, metrics, answers, served_from, steps, people, _room: room })
}
