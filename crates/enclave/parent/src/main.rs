//! `cloakroom-parent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    parent::main(())
}
