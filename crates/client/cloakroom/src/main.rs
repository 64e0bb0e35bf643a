//! `cloakroom`: the client, the demo and the attestation check.

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    cloakroom::main(Arc::new(coarse::SystemClock))
}
