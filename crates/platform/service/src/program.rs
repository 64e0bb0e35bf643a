//! The shell of every program: a runtime, and an exit status.

use std::fmt;
use std::process::ExitCode;

/// Marks an error as "couldn't be tried" (exit status 2: bad arguments, a file that is missing), as opposed to "refused or
/// failed" (exit status 1). Put it into the chain of an error as its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CouldNotTry(pub &'static str);

impl fmt::Display for CouldNotTry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for CouldNotTry {}

/// Runs a program's future to its end. An error is told on standard error with its causes; the status is 0 when done, 1 when
/// refused or failed, 2 when it couldn't be tried.
pub fn run_program(program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&format!("the runtime can't start: {error}"), 2),
    };
    match runtime.block_on(program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let untried = error.downcast_ref::<CouldNotTry>().is_some();
            tell(&format!("{error:#}"), if untried { 2 } else { 1 })
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where a program says why it ends")]
fn tell(message: &str, status: u8) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(status)
}
