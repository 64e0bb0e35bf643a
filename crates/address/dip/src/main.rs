//! `cloakroom-dip`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dip::main(())
}
