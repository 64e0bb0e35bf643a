//! `cloakroom-backup`.

use std::process::ExitCode;

fn main() -> ExitCode {
    backup::main(())
}
