//! The enclave's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    enclave::run(())
}
