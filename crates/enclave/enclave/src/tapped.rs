//! The enclave's program for the knowledge audit: the same library, and a recorder that sees what was
//! opened and sealed. Its measurement differs, so no client that pins the real one talks to it.

use std::process::ExitCode;

use record::Tap as _;

fn main() -> ExitCode {
    match record::Recorder::from_environment() {
        Some(recorder) => enclave::run(Observed(recorder)),
        None => ExitCode::from(2),
    }
}

struct Observed(record::Recorder);

impl minting::Observer for Observed {
    // A rehearsal may move the module's clock at any moment.
    const ASKS_FOR_TIME: bool = true;

    fn opened(&self, plaintext: &[u8]) {
        self.0.note("opened", plaintext);
        self.0.steps().reached("enclave_opened");
    }

    fn sealing(&self, plaintext: &[u8]) {
        self.0.note("sealing", plaintext);
        self.0.steps().reached("enclave_sealing");
    }
}
