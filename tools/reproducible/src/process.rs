//! Asking other programs.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What a program prints, without white space at its ends.
///
/// # Errors
/// With what it complained of when it fails.
pub fn output(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&raw_output(command)?).trim().to_owned())
}

/// What a program prints, to the byte.
pub(crate) fn raw_output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| format!("{name} can't be started"))?;
    let complaint = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    ensure!(done.status.success(), "{name} failed: {complaint}");
    Ok(done.stdout)
}
