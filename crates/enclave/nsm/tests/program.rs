//! The program as a developer runs it, with a stand-in for the enclave.

use std::path::Path;
use std::process::{Command, Output};

fn run(state: &Path, enclave: &str) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_cloakroom-nsm"))
        .args(["--enclave", enclave, "--listen", "nowhere", "--state"])
        .arg(state)
        .output()
}

#[test]
fn it_says_what_it_is_and_what_it_measured() {
    let room = tempfile::tempdir().unwrap();
    let output = run(&room.path().join("state"), "/bin/true").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("UNTRUSTED DEVELOPMENT"), "{said}");
    let pcr0 = nitro::extended(&std::fs::read("/bin/true").unwrap());
    assert!(said.contains(&hex::encode(pcr0)), "{said}");
}

#[test]
fn an_enclave_that_fails_or_is_not_there_is_a_failure() {
    let room = tempfile::tempdir().unwrap();
    let failed = run(room.path(), "/bin/false").unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let missing = run(room.path(), "/nowhere").unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere"));
}

#[test]
fn the_state_is_private_and_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let room = tempfile::tempdir().unwrap();
    let state = room.path().join("state");
    let read = |name: &str| std::fs::read(state.join(name)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let names = ["authority.bin", "wrapping.bin", "root.der"];
    assert!(run(&state, "/bin/true").unwrap().status.success());
    let first = names.map(read);
    assert!(run(&state, "/bin/true").unwrap().status.success());
    assert_eq!(names.map(read), first);
    assert_eq!(mode(&state), 0o700);
    assert_eq!(names[..2].iter().map(|name| mode(&state.join(name))).max(), Some(0o600));

    std::fs::write(state.join("wrapping.bin"), b"short").unwrap();
    let damaged = run(&state, "/bin/true").unwrap();
    assert_eq!(damaged.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("damaged"));
}
