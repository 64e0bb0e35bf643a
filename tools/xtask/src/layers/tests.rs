//! Small workspaces that keep the table, and that break it in each way there is.

use std::fs;

use tempfile::TempDir;

use super::*;

const TABLE: &str = r#"
    [rooms]
    types   = ["receipt", "lease"]
    plain   = ["helper", "handy"]
    service = ["dip"]
    enclave = ["minting"]
    [reach]
    types   = []
    plain   = ["types", "plain"]
    service = ["types", "plain"]
    enclave = ["types", "plain"]
    [wall]
    identity      = ["receipt"]
    address       = ["lease"]
    both          = ["minting"]
    both-in-tests = []
    [without]
    types = ["helper-from-elsewhere"]
"#;

/// A workspace that keeps to the table: crates, and what their manifests say of dependencies.
const KEEPING: [(&str, &str); 6] = [
    ("receipt", ""),
    ("lease", ""),
    ("helper", "[dependencies]\nhandy.path = '../handy'"),
    ("handy", ""),
    ("dip", "[dependencies]\nlease.path = '../lease'\nhelper.path = '../helper'"),
    ("minting", "[dependencies]\nlease.path = '../lease'\nreceipt.path = '../receipt'"),
];

/// The violations of [`KEEPING`], with the manifests in `changed` in place of its own.
fn violations(table: &str, changed: &[(&str, &str)]) -> Vec<String> {
    let room = TempDir::new().unwrap();
    let mut crates: Vec<_> = KEEPING.to_vec();
    crates.retain(|(name, _)| !changed.iter().any(|(other, _)| name == other));
    crates.extend(changed);
    for (name, rest) in crates {
        let home = room.path().join(name);
        fs::create_dir_all(home.join("src")).unwrap();
        fs::write(home.join("src/lib.rs"), "").unwrap();
        let head = format!("[package]\nname = '{name}'\nversion = '0.1.0'\nedition = '2024'\n");
        fs::write(home.join("Cargo.toml"), head + rest).unwrap();
    }
    let manifest = room.path().join("Cargo.toml");
    fs::write(&manifest, "[workspace]\nresolver = '3'\nmembers = ['*']").unwrap();
    fs::write(room.path().join("layers.toml"), table).unwrap();
    let table = Table::load(&room.path().join("layers.toml")).unwrap();
    check(&table, &Graph::of_workspace(&manifest).unwrap())
}

#[test]
fn a_workspace_that_keeps_to_the_table_passes() {
    assert_eq!(violations(TABLE, &[]), [""; 0]);
}

#[test]
fn crossing_the_wall_transitively_fails_and_names_the_paths() {
    let crossing = "[dependencies]\nreceipt.path = '../receipt'";
    let violations = violations(TABLE, &[("handy", crossing)]);
    assert_eq!(
        violations,
        [
            "dip stands on both sides of the wall: dip -> helper -> handy -> receipt and dip -> lease"
        ]
    );
}

#[test]
fn optional_build_and_platform_dependencies_count() {
    for crossing in [
        "[dependencies]\nreceipt = { path = '../receipt', optional = true }",
        "[build-dependencies]\nreceipt.path = '../receipt'",
        "[target.'cfg(windows)'.dependencies]\nreceipt.path = '../receipt'",
        "[dependencies]\nother = { package = 'receipt', path = '../receipt' }",
    ] {
        let violations = violations(TABLE, &[("handy", crossing)]);
        assert_eq!(violations.len(), 1, "{crossing}: {violations:?}");
    }
}

#[test]
fn tests_obey_the_wall_unless_listed() {
    let dip =
        "[dependencies]\nlease.path = '../lease'\n[dev-dependencies]\nreceipt.path = '../receipt'";
    assert_eq!(
        violations(TABLE, &[("dip", dip)]),
        ["dip's tests stand on both sides of the wall: dip -> receipt and dip -> lease"]
    );
    let listed = TABLE.replace("both-in-tests = []", "both-in-tests = ['dip']");
    assert_eq!(violations(&listed, &[("dip", dip)]), [""; 0]);
    // A dependency's tests are not built.
    let helper = "[dev-dependencies]\nreceipt.path = '../receipt'";
    assert_eq!(violations(TABLE, &[("helper", helper)]), [""; 0]);
}

#[test]
fn a_room_reaches_what_it_may_and_no_more() {
    let lease = "[dependencies]\nhelper.path = '../helper'";
    let reached = violations(TABLE, &[("lease", lease)]);
    assert!(reached.contains(&"lease (types) may not reach helper: lease -> helper".to_owned()));
    assert!(
        reached.contains(&"lease (types) may not reach handy: lease -> helper -> handy".to_owned())
    );
    let also = format!("{TABLE}\n[also]\nlease = ['helper', 'handy']");
    assert_eq!(violations(&also, &[("lease", lease)]), [""; 0]);
}

#[test]
fn packages_to_do_without_are_found() {
    let elsewhere = TempDir::new().unwrap();
    let home = elsewhere.path();
    fs::create_dir_all(home.join("src")).unwrap();
    fs::write(home.join("src/lib.rs"), "").unwrap();
    let manifest = "[package]\nname = 'helper-from-elsewhere'\nversion = '0.1.0'\n[workspace]";
    fs::write(home.join("Cargo.toml"), manifest).unwrap();
    let lease = format!("[dependencies]\nhelper-from-elsewhere.path = '{}'", home.display());
    assert_eq!(
        violations(TABLE, &[("lease", &lease)]),
        ["lease (types) must do without helper-from-elsewhere: lease -> helper-from-elsewhere"]
    );
}

#[test]
fn a_crate_in_no_room_fails_and_so_does_a_name_that_means_nothing() {
    assert_eq!(violations(TABLE, &[("stray", "")]), ["stray stands in no room of the table"]);
    let gone = TABLE.replace("[\"dip\"]", "[\"dip\", \"gone\"]");
    assert_eq!(violations(&gone, &[]), ["the table names gone, and there is no such crate"]);
    let twice = TABLE.replace("[\"dip\"]", "[\"dip\", \"lease\"]");
    assert!(violations(&twice, &[]).contains(&"lease stands in several rooms of the table".into()));
    let room = TABLE.replace("plain   = [\"types\", ", "plain   = [\"typos\", ");
    assert!(
        violations(&room, &[]).contains(&"the table names typos, and there is no such room".into())
    );
    let open = TABLE.replace("address       = [\"lease\"]", "address = []");
    assert_eq!(violations(&open, &[]), ["the wall has nothing on its address side"]);
}

#[test]
fn this_workspace_keeps_to_its_table() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let table = Table::load(&PathBuf::from(root).join("layers.toml")).unwrap();
    let graph = Graph::of_workspace(&PathBuf::from(root).join("Cargo.toml")).unwrap();
    assert_eq!(check(&table, &graph), [""; 0]);
}
