//! `cargo xtask audit`: who learned what in a real run, what stands where it mustn't, and whether both sides' disks can be paired.
//! With `--plant-leak`: whether the audit finds leaks that are there.

use std::io::Write as _;

use anyhow::Result;
use clap::ValueEnum as _;
use lab::{AuditOptions, Binaries, Kind};

use crate::programs;

/// How the audit is made.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many people take part in a run: 5, or 2 with planted leaks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    users: Option<u8>,
    /// Audit the audit: plant leaks of this kind in real runs; the status is 0 if each is found by name, and nothing without them.
    /// One of log, column, header, metric, error-text, file-time, core-file; or all
    #[arg(long, value_name = "KIND", value_parser = kinds)]
    plant_leak: Option<Kinds>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One kind, or all.
#[derive(Clone)]
struct Kinds(Vec<Kind>);

fn kinds(text: &str) -> Result<Kinds, String> {
    match text {
        "all" => Ok(Kinds(Kind::PLANTED.to_vec())),
        one => Kind::from_str(one, false).map(|kind| Kinds(vec![kind])),
    }
}

/// Makes the audit; whether nothing was amiss.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let binaries = Binaries::in_directory(&programs::build()?)?;
    let people = if arguments.plant_leak.is_some() { 2 } else { 5 };
    let options = AuditOptions {
        binaries: &binaries,
        users: arguments.users.unwrap_or(people).into(),
        progress: &crate::complain,
    };
    match &arguments.plant_leak {
        None => audit(&options, arguments.json),
        Some(Kinds(kinds)) => audit_the_audit(&options, kinds, arguments.json),
    }
}

fn audit(options: &AuditOptions<'_>, json: bool) -> Result<bool> {
    let result = lab::audit(options)?;
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&result)?)?;
    } else {
        let checked = &result.checked;
        writeln!(out, "{}", result.table)?;
        writeln!(
            out,
            "{} cells of the table; {} columns and {} headers; {} programs without a tap, {} with one; a thief of both sides' \
             disks tried {} ways of pairing after clean stops and {} after kill -9",
            checked.cells,
            checked.columns,
            checked.headers,
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

fn audit_the_audit(options: &AuditOptions<'_>, kinds: &[Kind], json: bool) -> Result<bool> {
    let result = lab::audit_the_audit(options, kinds)?;
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&result)?)?;
    } else {
        for leak in &result.planted {
            let found = if leak.found { "found" } else { "NOT FOUND" };
            writeln!(out, "{found}: {}: {}", leak.kind.name(), leak.form)?;
            for said in &leak.said {
                writeln!(out, "    {said}")?;
            }
        }
        let checked = &result.checked;
        writeln!(
            out,
            "{} of {} planted leaks found by name; {} looks at a run without a leak, {} runs",
            checked.found, checked.planted, checked.controls, result.runs
        )?;
        for violation in &result.violations {
            writeln!(out, "! {violation}")?;
        }
    }
    Ok(result.violations.is_empty() && result.checked.found == result.checked.planted)
}
