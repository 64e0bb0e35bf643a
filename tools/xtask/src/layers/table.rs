//! `layers.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Sets of names, by name.
type Sets = BTreeMap<String, BTreeSet<String>>;

/// The allowed dependencies. The file itself says what each part means.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Table {
    rooms: Sets,
    reach: Sets,
    #[serde(default)]
    also: Sets,
    pub(crate) wall: Wall,
    #[serde(default)]
    without: Sets,
}

/// Both sides' types, and who may reach both.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Wall {
    pub(crate) identity: BTreeSet<String>,
    pub(crate) address: BTreeSet<String>,
    pub(crate) both: BTreeSet<String>,
    pub(crate) both_in_tests: BTreeSet<String>,
}

impl Table {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no table", path.display()))
    }

    /// The room of a crate; the first, should it stand in several (which is a mistake).
    pub(crate) fn room_of(&self, name: &str) -> Option<&str> {
        let room = self.rooms.iter().find(|(_, crates)| crates.contains(name));
        room.map(|(room, _)| room.as_str())
    }

    /// Whether the crate `from`, of `room`, may reach the crate `to`.
    pub(crate) fn may_reach(&self, from: &str, room: &str, to: &str) -> bool {
        let allows = |sets: &Sets, key: &str, name: &str| {
            sets.get(key).is_some_and(|names| names.contains(name))
        };
        allows(&self.also, from, to)
            || self.room_of(to).is_some_and(|other| allows(&self.reach, room, other))
    }

    /// Whether the crates of `room` must do without the package `name`.
    pub(crate) fn must_do_without(&self, room: &str, name: &str) -> bool {
        self.without.get(room).is_some_and(|names| names.contains(name))
    }

    /// Where the table doesn't fit the crates that there are, or itself: a name that means nothing guards nothing.
    pub(crate) fn mistakes(&self, members: &BTreeSet<&str>) -> Vec<String> {
        let mut mistakes = Vec::new();
        for member in members {
            match self.rooms.values().filter(|crates| crates.contains(*member)).count() {
                0 => mistakes.push(format!("{member} stands in no room of the table")),
                1 => {}
                _ => mistakes.push(format!("{member} stands in several rooms of the table")),
            }
        }
        let Wall { identity, address, both, both_in_tests } = &self.wall;
        let sets = self.rooms.values().chain(self.also.values());
        let crates = sets.chain([identity, address, both, both_in_tests]).flatten();
        for name in crates.chain(self.also.keys()).collect::<BTreeSet<_>>() {
            if !members.contains(name.as_str()) {
                mistakes.push(format!("the table names {name}, and there is no such crate"));
            }
        }
        let rooms = self.reach.keys().chain(self.reach.values().flatten());
        for name in rooms.chain(self.without.keys()).collect::<BTreeSet<_>>() {
            if !self.rooms.contains_key(name) {
                mistakes.push(format!("the table names {name}, and there is no such room"));
            }
        }
        for (side, crates) in [("identity", identity), ("address", address)] {
            if crates.is_empty() {
                mistakes.push(format!("the wall has nothing on its {side} side"));
            }
        }
        mistakes
    }
}
