//! What a released program is made of: the packages linked into it, their licences, their bill of materials.

pub(crate) mod deny;
mod linked;
mod notices;
mod sbom;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use linked::Linked;

/// Which program, and where to write.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The package whose program is released
    #[arg(long, default_value = "cloakroom")]
    package: String,
    /// The file to write; standard output when absent
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Arguments {
    fn write(&self, text: &str) -> Result<()> {
        match &self.out {
            Some(path) => std::fs::write(path, text)
                .with_context(|| format!("{} can't be written", path.display())),
            None => std::io::stdout().write_all(text.as_bytes()).context("writing to stdout"),
        }
    }
}

/// Writes the licences of everything linked in; fails when one has none, or none whose text is at hand.
pub(crate) fn notices(arguments: &Arguments) -> Result<bool> {
    let linked = Linked::into(&arguments.package, Path::new("Cargo.toml"))?;
    let notices = notices::Notices::of(&linked)?;
    for package in &notices.without {
        crate::complain(&format!("{package} has no licence, or none whose text is at hand"));
    }
    arguments.write(&notices.text)?;
    Ok(notices.without.is_empty())
}

/// Writes the software bill of materials, CycloneDX 1.5.
pub(crate) fn sbom(arguments: &Arguments) -> Result<bool> {
    let linked = Linked::into(&arguments.package, Path::new("Cargo.toml"))?;
    let text = serde_json::to_string_pretty(&sbom::document(&linked)?)?;
    arguments.write(&(text + "\n"))?;
    Ok(true)
}
