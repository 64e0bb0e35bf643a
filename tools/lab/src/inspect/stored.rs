//! Files, their times, and the columns of databases, against the list.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Facts, Kind, Violation};
use crate::disk::{self, Database, select_all};
use crate::knowledge::{Fact, Party};

/// The list.
const STORED: &str = include_str!("../../stored.toml");

/// A party's directory after a run.
pub(crate) struct Home<'a> {
    pub(crate) party: Party,
    /// The service's name, as in the list.
    pub(crate) service: &'a str,
    pub(crate) root: PathBuf,
    /// When the first person came. What isn't for all of them must not have changed since.
    pub(crate) served_from: SystemTime,
}

#[derive(Deserialize)]
struct Listed {
    files: BTreeMap<String, File>,
    tables: BTreeMap<String, BTreeMap<String, Column>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Settled(Sentence),
    Described {
        #[serde(rename = "is")]
        _is: Sentence,
        #[serde(default)]
        live: bool,
    },
}

#[derive(Deserialize)]
struct Column {
    #[serde(rename = "is")]
    _is: Sentence,
    #[serde(default)]
    holds: Vec<Fact>,
}

/// What is listed is described: in a few letters at least.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Sentence;

impl TryFrom<String> for Sentence {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.trim().len() < 4 { Err("say what it is") } else { Ok(Self) }
    }
}

/// Looks through a party's directory. Gives how many columns it saw, and what shouldn't be.
///
/// # Errors
/// When something can't be read.
pub(crate) fn stored(home: &Home<'_>, facts: &Facts<'_>) -> Result<(usize, Vec<Violation>)> {
    let mut all: BTreeMap<String, Listed> = toml::from_str(STORED).context("stored.toml")?;
    let listed =
        all.remove(home.service).with_context(|| format!("{} isn't listed", home.service))?;
    let mut violations = Vec::new();
    let mut seen = BTreeMap::new();
    for path in disk::files(&home.root)? {
        let name = disk::shown(&path, &home.root);
        // What the audit itself records.
        if name.starts_with("recording") || name.starts_with("enclave-recording") {
            continue;
        }
        let new = |kind, what| Violation::new(kind, home.party, name.as_str(), what);
        let bytes = disk::read(&path)?;
        let file = listed.files.iter().find(|(pattern, _)| matches(pattern, &name));
        if is_core(&name, &bytes) {
            let held =
                facts.named(&bytes).map_or_else(String::new, |held| format!("; it holds {held}"));
            violations.push(new(Kind::CoreFile, format!("an image of a process's memory{held}")));
        } else if file.is_none() {
            violations.push(new(Kind::File, "a file that isn't on the list".to_owned()));
        }
        let live = matches!(file, Some((_, File::Described { live: true, .. })));
        let modified = fs::symlink_metadata(&path)?.modified()?;
        if !live && modified >= home.served_from {
            let after = modified.duration_since(home.served_from).unwrap_or_default().as_millis();
            violations.push(new(
                Kind::FileTime,
                format!("changed {after} ms after the first person came: it tells when somebody was there"),
            ));
        }
        if let Some(database) = Database::open(&path, &bytes)? {
            columns(&database, &name, home, &listed, facts, (&mut seen, &mut violations))?;
        }
    }
    for (table, columns) in &listed.tables {
        for column in columns.keys() {
            if !seen.contains_key(&(table.clone(), column.clone())) {
                violations.push(Violation::new(
                    Kind::Column,
                    home.party,
                    format!("{table}.{column}"),
                    "on the list, and nowhere to be seen",
                ));
            }
        }
    }
    Ok((seen.len(), violations))
}

type Seen = BTreeMap<(String, String), ()>;

fn columns(
    database: &Database,
    file: &str,
    home: &Home<'_>,
    listed: &Listed,
    facts: &Facts<'_>,
    (seen, violations): (&mut Seen, &mut Vec<Violation>),
) -> Result<()> {
    for table in database.tables()? {
        let rows = database.rows(&select_all(&table.name))?;
        for (index, column) in table.columns.iter().enumerate() {
            let listed = listed.tables.get(&table.name).and_then(|columns| columns.get(column));
            seen.insert((table.name.clone(), column.clone()), ());
            let place = format!("{file} {}.{column}", table.name);
            let mut add = |what: String| {
                violations.push(Violation::new(Kind::Column, home.party, &*place, what))
            };
            if listed.is_none() {
                add("a column that isn't on the list".to_owned());
            }
            let may = listed.map_or(&[][..], |column| column.holds.as_slice());
            let mut held = BTreeMap::new();
            for value in rows.iter().filter_map(|row| row.get(index)).flatten() {
                held.extend(facts.within(value));
            }
            for (fact, how) in held.into_iter().filter(|(fact, _)| !may.contains(fact)) {
                add(format!("holds {} ({how})", fact.name()));
            }
        }
    }
    Ok(())
}

/// Whether a name is of a pattern, in which an asterisk stands for digits.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            let middle = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            middle.is_some_and(|middle| {
                !middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_digit())
            })
        }
    }
}

/// Whether a file is a core dump: by its name (core(5)), or as an ELF file of type `ET_CORE` (elf(5)), of either byte order.
fn is_core(name: &str, bytes: &[u8]) -> bool {
    let name = Path::new(name).file_name().unwrap_or_default().display().to_string();
    let named = name == "core" || name.starts_with("core.") || name.ends_with(".core");
    named || (bytes.starts_with(b"\x7fELF") && matches!(bytes.get(16..18), Some([4, 0] | [0, 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_digits() {
        assert!(matches("a/key-*", "a/key-12"));
        for other in ["a/key-", "a/key-12b", "b/key-1", "a/key-1/2"] {
            assert!(!matches("a/key-*", other), "{other}");
        }
    }

    #[test]
    fn cores_are_known_by_name_and_by_content() {
        let elf =
            |kind: [u8; 2]| [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9], &kind, b"rest"].concat();
        assert!(is_core("state/core.77", b"") && is_core("dip.core", b""));
        assert!(is_core("state/odd", &elf([4, 0])) && is_core("state/odd", &elf([0, 4])));
        assert!(!is_core("state/program", &elf([2, 0])) && !is_core("state/score", b"\x7fEL"));
    }

    #[test]
    fn the_list_says_what_everything_is() {
        let all: BTreeMap<String, Listed> = toml::from_str(STORED).unwrap();
        assert_eq!(all.len(), 7);
        assert!(toml::from_str::<Column>("is = '  '").is_err());
    }
}
