//! `cloakroom-issuer`.

use std::process::ExitCode;

fn main() -> ExitCode {
    issuer::main(())
}
