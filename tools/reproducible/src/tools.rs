//! What programs are built with: other versions may give other bytes.

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::environment::command;
use crate::process::output;

/// The tools' own names and versions.
#[derive(Serialize)]
pub struct Tools {
    /// The Rust compiler; its linker comes with it.
    pub rustc: String,
    /// The C compiler.
    pub cc: String,
    /// The assembler, which belongs to binutils and not to the compiler.
    pub assembler: String,
    /// The C library: all that a static program takes of it, what starts a dynamic one and the versions of the functions it asks for.
    pub libc: String,
}

impl Tools {
    /// Those of this machine.
    ///
    /// # Errors
    /// When one isn't there.
    pub fn here() -> Result<Self> {
        let version = |program: &str| -> Result<String> {
            let said = output(command(program).arg("--version"))?;
            Ok(said.lines().next().unwrap_or_default().to_owned())
        };
        Ok(Self {
            rustc: version("rustc")?,
            cc: version("cc")?,
            assembler: version("as")?,
            libc: version("ldd")?,
        })
    }
}

/// The triple of this machine, as the compiler names it.
///
/// # Errors
/// When there is no compiler that says so.
pub fn host() -> Result<String> {
    let said = output(command("rustc").arg("-vV"))?;
    let triple = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(triple.context("rustc names no host")?.to_owned())
}
