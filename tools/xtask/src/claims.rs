//! That every test which docs/claims.md names exists.

use std::collections::BTreeSet;
use std::path::Path;

/// The macro that makes tests of the functions it lists, one for each kind of database.
const LIST: &str = "in_each_place![";

/// The names of all functions in Rust files below `folder` that stand under a `#[test]`, or in a [`LIST`].
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (mut is_test, mut is_list) = (false, false);
            for line in text.lines().map(str::trim_start) {
                let listed = line.strip_suffix(',').filter(|_| is_list);
                found.extend(listed.map(str::to_owned));
                is_list = listed.is_some() || line == LIST;
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                }
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if let Some((name, _)) = name.and_then(|rest| rest.split_once('(')) {
                    if is_test {
                        found.insert(name.to_owned());
                    }
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_test_that_a_claim_names_exists() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut tests = BTreeSet::new();
    tests_below(&root.join("crates"), &mut tests);
    tests_below(&root.join("tools"), &mut tests);
    let claims = std::fs::read_to_string(root.join("docs/claims.md")).unwrap();
    let is_name = |code: &&str| code.contains('_') && !code.contains(' ');
    let named: Vec<&str> = claims.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 30, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "claims without a test: {missing:?}");
}
