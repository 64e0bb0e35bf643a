//! `cargo xtask test`: builds every program, then runs every test of the workspace.
//!
//! What tests need beyond Rust and a C compiler is installed first, or asked for by name.

use anyhow::Result;

use crate::{needs, programs};

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this package's tests; may be given more than once
    #[arg(short, long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// All but this package's tests; may be given more than once
    #[arg(long, value_name = "NAME", conflicts_with = "packages")]
    exclude: Vec<String>,
    /// Passed on to the tests: a filter, or options of theirs
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs the tests; whether none failed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let Arguments { packages, exclude, rest } = arguments;
    let tested = |package: &str| {
        let is = |name: &String| name == package;
        if packages.is_empty() { !exclude.iter().any(is) } else { packages.iter().any(is) }
    };
    needs::provide(tested)?;
    programs::build()?;
    // In the release profile, like the programs that the end-to-end tests start: everything is compiled once.
    let mut all = vec!["test", "--release", "--locked"];
    if packages.is_empty() {
        all.push("--workspace");
    }
    for package in packages {
        all.extend(["--package", package]);
    }
    for package in exclude {
        all.extend(["--exclude", package]);
    }
    // A test that doesn't compile couldn't be tried; one that fails was.
    programs::cargo(&[&all[..], &["--no-run"]].concat())?;
    all.push("--");
    all.extend(rest.iter().map(String::as_str));
    programs::cargo_succeeds(&all)
}
