//! `cloakroom-lab`: what `cloakroom demo` runs. A program of its own, so that the client links neither the audit nor a
//! database.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use lab::{Binaries, DemoOptions, KeepOptions, Kept, Ports, Untried};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

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
    Demo(Demo),
    /// Become a program that outlives whoever started it.
    #[command(hide = true)]
    Resident {
        /// Where the process writes a note of itself.
        #[arg(long)]
        note: PathBuf,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
}

#[derive(Args)]
struct Demo {
    /// How many people get a dedicated IP at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    users: u8,
    /// Use the services' default ports instead of free ones.
    #[arg(long, value_name = "free|default", default_value = "free")]
    ports: Ports,
    /// Leave a provider running in DIR, without people; DIR/demo.json says where everything is.
    #[arg(long, requires = "dir", conflicts_with_all = ["stop", "users"])]
    keep: bool,
    /// End what --keep left running in DIR.
    #[arg(long, requires = "dir", conflicts_with_all = ["users", "ports"])]
    stop: bool,
    /// Where --keep puts everything: a directory that isn't there yet, is empty, or was an ended demo's.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Show a lease's whole life, on clocks that are moved: assign, connect, refresh, second device, reset, refund, expiry.
    #[arg(long, conflicts_with_all = ["users", "keep", "stop", "dir"])]
    lifecycle: bool,
    /// Print one JSON object on standard output; progress stays on standard error.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Resident { note, program } => become_resident(&note, &program),
        Command::Demo(Demo { dir: Some(dir), keep: true, ports, json, .. }) => {
            keep(&dir, ports, json)
        }
        Command::Demo(Demo { dir: Some(dir), stop: true, json, .. }) => stop(&dir, json),
        Command::Demo(Demo { dir: Some(_), .. }) => {
            note("error: --dir goes with --keep or --stop");
            return ExitCode::from(2);
        }
        Command::Demo(Demo { users, ports, lifecycle, json, .. }) => {
            demo(users.into(), ports, lifecycle, json)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::from(if error.downcast_ref::<Untried>().is_some() { 2 } else { 1 })
        }
    }
}

/// Runs the demo; whether nothing was amiss.
fn demo(users: usize, ports: Ports, lifecycle: bool, json: bool) -> Result<bool> {
    let binaries = Binaries::beside_this()?;
    let options = DemoOptions {
        binaries: &binaries,
        users,
        ports,
        progress: &note,
        interrupted: &*interruption()?,
    };
    let result = if lifecycle { lab::lifecycle(&options)? } else { lab::demo(&options)? };
    print(json, &result, || result.table())?;
    Ok(result.violations().is_empty())
}

/// Leaves a provider running.
fn keep(directory: &Path, ports: Ports, json: bool) -> Result<bool> {
    let binaries = Binaries::beside_this()?;
    let kept = lab::keep(&KeepOptions {
        binaries: &binaries,
        directory,
        ports,
        progress: &note,
        interrupted: &*interruption()?,
    })?;
    print(json, &kept, || told(&kept))?;
    Ok(true)
}

/// Ends it.
fn stop(directory: &Path, json: bool) -> Result<bool> {
    let stopped = lab::stop(directory)?;
    print(json, &stopped, || match stopped.stopped.as_slice() {
        [] => "nothing runs there any more".to_owned(),
        ended => format!("ended: {}", ended.join(", ")),
    })?;
    Ok(true)
}

/// What runs, for people.
fn told(kept: &Kept) -> String {
    let mut lines: Vec<String> =
        kept.urls.iter().map(|(name, url)| format!("{name:<20} {url}")).collect();
    let dir = kept.dir.display();
    lines.push(format!("{:<20} {}", "account", kept.spare.account));
    lines.push(format!("\nFor clients: cloakroom trust add {}", kept.provider.display()));
    lines.push(format!("For scripts: {dir}/demo.json"));
    lines.push(format!("To end it:   cloakroom demo --stop --dir {dir}"));
    lines.join("\n")
}

/// Becomes true when this program is told to end.
fn interruption() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

fn become_resident(note: &Path, program: &[OsString]) -> Result<bool> {
    let (program, arguments) = program.split_first().context("no program")?;
    lab::become_resident(note, Path::new(program), arguments)?;
    Ok(false)
}

/// The result on standard output.
fn print(json: bool, result: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
    let text = if json { serde_json::to_string(result)? } else { text() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// A line of progress. If even that can't be written, the exit status says enough.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
