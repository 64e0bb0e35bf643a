//! `cloakroom completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::output::Failure;

#[expect(clippy::unnecessary_wraps, reason = "like every other command")]
pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    clap_complete::generate(shell, &mut Arguments::command(), "cloakroom", &mut std::io::stdout());
    Ok(())
}
