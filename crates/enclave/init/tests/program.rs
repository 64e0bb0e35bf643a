//! On a machine that is no enclave's.

use std::process::Command;

#[test]
fn it_touches_nothing_where_it_is_not_the_first_process() {
    let output = Command::new(env!("CARGO_BIN_EXE_cloakroom-init")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("first process"), "{said}");
}
