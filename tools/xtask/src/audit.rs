//! `cargo xtask audit`: who learned what in a real run, and whether both sides' disks can be paired.

use std::io::Write as _;

use anyhow::Result;
use lab::{AuditOptions, Binaries};

use crate::programs;

/// How the audit is made.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many people take part in the run whose table is asserted
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    users: u8,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Makes the audit; whether nothing was amiss.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let binaries = Binaries::in_directory(&programs::build()?)?;
    let result = lab::audit(&AuditOptions {
        binaries: &binaries,
        users: arguments.users.into(),
        progress: &crate::complain,
    })?;
    let mut out = std::io::stdout();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&result)?)?;
    } else {
        let checked = &result.checked;
        writeln!(out, "{}", result.table)?;
        writeln!(
            out,
            "{} cells of the table; {} programs without a tap, {} with one; a thief of both sides' disks tried \
             {} ways of pairing after clean stops and {} after kill -9",
            checked.cells,
            checked.programs_without_tap,
            checked.programs_with_tap,
            checked.strategies_after_stop,
            checked.strategies_after_kill
        )?;
        for violation in &result.violations {
            writeln!(out, "! {violation}")?;
        }
    }
    Ok(result.violations.is_empty())
}
