//! `cloakroom-bench`: what `cloakroom bench` runs. Every figure stands beside its raw primitive, measured in the same run.
//!
//! A program of its own, so that the client holds neither load generators nor a database. What is in each row is said in
//! its name and, at length, in docs/benchmarks.md.

mod assign;
mod crowd;
mod issuer;
mod load;
mod machine;
mod primitives;
mod report;
mod store_rows;
mod tokens;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Measures what the services and the client can do.
#[derive(Parser)]
#[command(name = "cloakroom-bench", version)]
struct Arguments {
    /// What to measure.
    what: What,
    /// For how many seconds each row is measured.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// Print one JSON object on standard output; progress stays on standard error.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Blind signatures: in the library, and through the blind token service.
    Tokens,
    /// Whole assignments, from a subscription receipt to the tokens for an address.
    Assign,
    /// Rows that hide their order, beside rows that don't.
    Store,
}

fn main() -> ExitCode {
    let Arguments { what, seconds, json } = Arguments::parse();
    match run(what, Duration::from_secs(seconds.into()), json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error:#}"));
            let untried = error.downcast_ref::<machine::Missing>().is_some();
            ExitCode::from(if untried { 2 } else { 1 })
        }
    }
}

fn run(what: What, length: Duration, json: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = match what {
        What::Tokens => runtime.block_on(tokens::run(length))?,
        What::Assign => runtime.block_on(assign::run(length))?,
        What::Store => store_rows::run(length)?,
    };
    let report = Report { machine: machine::describe()?, rows };
    let text = if json { serde_json::to_string(&report)? } else { report.table() };
    writeln!(std::io::stdout(), "{text}").context("standard output is closed")
}

/// A line of progress. If even that can't be written, the exit status says enough.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
