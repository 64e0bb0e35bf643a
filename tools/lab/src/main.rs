//! `cloakroom-lab`: what `cloakroom demo` runs. A program of its own, so that the client links neither the audit nor a
//! database.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::{Parser, Subcommand};
use lab::{Binaries, DemoOptions, Ports};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Runs every service on this machine.
#[derive(Parser)]
#[command(name = "cloakroom-lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine, and show who learned what.
    Demo {
        /// How many people get a dedicated IP at once.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
        users: u8,
        /// Use the services' default ports instead of free ones.
        #[arg(long, value_name = "free|default", default_value = "free")]
        ports: Ports,
        /// Print one JSON object on standard output; progress stays on standard error.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let Command::Demo { users, ports, json } = Arguments::parse().command;
    match demo(users.into(), ports, json) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo; whether nothing was amiss.
fn demo(users: usize, ports: Ports, json: bool) -> Result<bool> {
    let binaries = Binaries::beside_this()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let options = DemoOptions {
        binaries: &binaries,
        users,
        ports,
        progress: &note,
        interrupted: &interrupted,
    };
    let result = lab::demo(&options)?;
    let text = if json { serde_json::to_string(&result)? } else { result.table() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(result.violations().is_empty())
}

/// A line of progress. If even that can't be written, the exit status says enough.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
