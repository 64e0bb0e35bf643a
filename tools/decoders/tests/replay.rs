//! Every input that fuzzing kept, and every one that once failed, through its target again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use decoders::{TARGETS, Target, fuzz_directory};
use fixture::{corpus, names};

/// All corpora together, in bytes.
const ROOM: u64 = 2 << 20;

#[cfg(test)]
mod fixture {
    use super::*;

    /// The names in a directory, without what follows a dot.
    pub(super) fn names(directory: &str) -> BTreeSet<String> {
        let path = fuzz_directory().join(directory);
        let entries =
            fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        entries
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    pub(super) fn files(path: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = match fs::read_dir(path) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        files.sort();
        files
    }

    pub(super) fn corpus(target: &Target) -> Vec<PathBuf> {
        let fuzz = fuzz_directory();
        let mut inputs = files(&fuzz.join("corpus").join(target.name));
        inputs.extend(files(&fuzz.join("crashes").join(target.name)));
        inputs
    }
}

#[test]
fn every_kept_input_holds() {
    let mut failed = Vec::new();
    for target in TARGETS {
        let inputs = corpus(target);
        assert!(
            !inputs.is_empty(),
            "{} has no corpus: cargo run -p decoders -- seeds",
            target.name
        );
        for path in inputs {
            let input = fs::read(&path).unwrap();
            if std::panic::catch_unwind(|| (target.check)(&input)).is_err() {
                failed.push(path.display().to_string());
            }
        }
    }
    assert!(failed.is_empty(), "these inputs fail:\n{}", failed.join("\n"));
}

/// What the code itself writes is taken, too; the generator is run so that it doesn't rot.
#[test]
fn every_seed_holds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() >= 2, "{}", target.name);
        seeds.iter().for_each(|seed| (target.check)(seed));
    }
}

#[test]
fn libfuzzer_runs_what_is_replayed_here() {
    let known: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(known.len(), TARGETS.len(), "a name for each");
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
    assert_eq!(names("dictionaries"), known);
    assert!(names("crashes").is_subset(&known));
    let manifest = fs::read_to_string(fuzz_directory().join("Cargo.toml")).unwrap();
    for name in &known {
        let file = format!("fuzz_targets/{name}.rs");
        let source = fs::read_to_string(fuzz_directory().join(&file)).unwrap();
        assert!(source.contains(&format!("decoders::{name}(")), "{file}");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"{file}\"")), "{file}");
    }
}

#[test]
fn corpora_stay_small() {
    let inputs = TARGETS.iter().flat_map(corpus);
    let all: u64 = inputs.map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(all <= ROOM, "{all} bytes: minimize with `cargo xtask fuzz --minimize`");
}
