//! Corpora: `cargo run -p decoders -- seeds` writes each target's first inputs, `-- list` names the targets.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use decoders::{TARGETS, Target, fuzz_directory};

/// The decoders' targets.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Names every target, one a line.
    List,
    /// Writes every target's first inputs into its corpus. (Some are signed with keys that are made anew each time:
    /// minimize afterwards.)
    Seeds {
        /// Where the corpora are; `fuzz/corpus` by default.
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
        /// Only these targets.
        targets: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::List => {
            let mut out = std::io::stdout();
            TARGETS.iter().try_for_each(|target| writeln!(out, "{}", target.name))?;
            Ok(())
        }
        Command::Seeds { into, targets } => {
            let into = into.unwrap_or_else(|| fuzz_directory().join("corpus"));
            let wanted = |target: &&Target| {
                targets.is_empty() || targets.iter().any(|name| name == target.name)
            };
            TARGETS.iter().filter(wanted).try_for_each(|target| write(target, &into))
        }
    }
}

/// Writes a target's seeds, each named by its content's hash, so that doing it again changes nothing.
fn write(target: &Target, into: &Path) -> Result<()> {
    let corpus = into.join(target.name);
    std::fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    for seed in (target.seeds)() {
        let name = hex::encode(&blake3::hash(&seed).as_bytes()[..20]);
        std::fs::write(corpus.join(name), seed)?;
    }
    Ok(())
}
