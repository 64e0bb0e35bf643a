//! `cloakroom-backup` for the knowledge audit: the same library, and a recorder of what it receives.

use std::process::ExitCode;

fn main() -> ExitCode {
    match record::Recorder::from_environment() {
        Some(recorder) => backup::main(recorder),
        None => ExitCode::from(2),
    }
}
