//! `cargo xtask deny`: licences, sources and known advisories against `deny.toml`, by cargo-deny.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::programs;

/// The version that is installed where there is none.
const VERSION: &str = "0.20.2";

/// What to check.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Check for known advisories, too; fetches the RustSec database
    #[arg(long)]
    advisories: bool,
}

/// Whether everything is as `deny.toml` allows it. Installs cargo-deny under `target/` where there is none.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let program = match on_the_path() {
        Some(program) => program,
        None => install()?,
    };
    let mut checks = vec!["--locked", "check", "bans", "licenses", "sources"];
    if arguments.advisories {
        checks.push("advisories");
    }
    let status = Command::new(&program)
        .args(checks)
        .status()
        .with_context(|| format!("{} can't be started", program.display()))?;
    Ok(status.success())
}

fn on_the_path() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join("cargo-deny")).find(|it| it.is_file())
}

fn install() -> Result<PathBuf> {
    let tools = Path::new("target/tools");
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        crate::complain(&format!("installing cargo-deny {VERSION} under {}", tools.display()));
        let root = tools.to_str().context("the directory's name isn't UTF-8")?;
        programs::cargo(&[
            "install",
            "--locked",
            "--root",
            root,
            "--version",
            VERSION,
            "cargo-deny",
        ])?;
    }
    ensure!(program.is_file(), "cargo-deny isn't at {} after its installation", program.display());
    Ok(program)
}
