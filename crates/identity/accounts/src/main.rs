//! `cloakroom-accounts`.

use std::process::ExitCode;

fn main() -> ExitCode {
    accounts::main(())
}
