//! Building every program of the workspace.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Runs cargo with these arguments; it shows its own progress.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    ensure!(cargo_succeeds(arguments)?, "cargo {} failed", arguments.join(" "));
    Ok(())
}

/// Whether cargo, with these arguments, says that all is well.
pub(crate) fn cargo_succeeds(arguments: &[&str]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(arguments).status().context("cargo can't be started")?;
    Ok(status.success())
}

/// Builds every program and says in which directory they are.
pub(crate) fn build() -> Result<PathBuf> {
    cargo(&["build", "--release", "--locked", "--workspace", "--bins"])?;
    directory()
}

/// Where built programs are.
pub(crate) fn directory() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    Ok(metadata.target_directory.join("release").into_std_path_buf())
}
