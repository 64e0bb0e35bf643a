//! `cargo xtask test`: builds every program, then runs every test of the workspace.
//!
//! Tests need nothing beyond Rust and a C compiler; what a later test needs (a database server, say) is
//! installed here, or asked for by name.

use anyhow::Result;

use crate::programs;

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `cargo test`: a filter, or options after `--`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs the tests.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    programs::build()?;
    // In the release profile, like the programs that the end-to-end tests start: everything is compiled once.
    let mut all = vec!["test", "--release", "--locked", "--workspace"];
    all.extend(arguments.rest.iter().map(String::as_str));
    programs::cargo(&all)?;
    Ok(true)
}
