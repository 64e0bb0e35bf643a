//! `cargo xtask test`: builds every program, then runs every test of the workspace.
//!
//! Tests need nothing beyond Rust and a C compiler; what a later test needs (a database server, say) is
//! installed here, or asked for by name.

use anyhow::Result;

use crate::programs;

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this package's tests; may be given more than once
    #[arg(short, long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Passed on to the tests: a filter, or options of theirs
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs the tests.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    programs::build()?;
    // In the release profile, like the programs that the end-to-end tests start: everything is compiled once.
    let mut all = vec!["test", "--release", "--locked"];
    if arguments.packages.is_empty() {
        all.push("--workspace");
    }
    for package in &arguments.packages {
        all.extend(["--package", package]);
    }
    all.push("--");
    all.extend(arguments.rest.iter().map(String::as_str));
    programs::cargo(&all)?;
    Ok(true)
}
