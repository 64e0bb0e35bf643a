//! Where the programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The services' programs, by the end of their names.
const SERVICES: [&str; 8] =
    ["accounts", "issuer", "nsm", "enclave", "parent", "dip", "gateway", "backup"];

/// The directory with all programs.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// The programs in `directory`.
    ///
    /// # Errors
    /// When one is missing.
    pub fn in_directory(directory: &Path) -> Result<Self> {
        let found = Self(directory.to_owned());
        for program in found.all() {
            if !program.is_file() {
                bail!(
                    "{} is missing; build all programs with: cargo build --release --workspace --bins",
                    program.display()
                );
            }
        }
        Ok(found)
    }

    /// The programs beside this one.
    ///
    /// # Errors
    /// When one is missing.
    pub fn beside_this() -> Result<Self> {
        let this = std::env::current_exe()?;
        Self::in_directory(this.parent().context("the program has no directory")?)
    }

    /// A service's program: the real one, or the audit's with its tap.
    #[must_use]
    pub fn service(&self, name: &str, tapped: bool) -> PathBuf {
        let tapped = if tapped { "-tapped" } else { "" };
        self.0.join(format!("cloakroom-{name}{tapped}"))
    }

    /// The client's program.
    #[must_use]
    pub fn client(&self) -> PathBuf {
        self.0.join("cloakroom")
    }

    /// The client's program with a clock that can be set ahead.
    #[must_use]
    pub fn rehearsed_client(&self) -> PathBuf {
        self.0.join("cloakroom-rehearsed")
    }

    /// The program that runs demos, and makes processes that outlive it.
    #[must_use]
    pub fn lab(&self) -> PathBuf {
        self.0.join("cloakroom-lab")
    }

    /// Every program.
    #[must_use]
    pub fn all(&self) -> Vec<PathBuf> {
        let own = [self.lab(), self.rehearsed_client()];
        self.released().into_iter().chain(self.tapped()).chain(own).collect()
    }

    /// Every program that people and operators run: none of them may hold a tap.
    #[must_use]
    pub fn released(&self) -> Vec<PathBuf> {
        let services = SERVICES.iter().map(|service| self.service(service, false));
        services.chain([self.client()]).collect()
    }

    /// The audit's own programs: each of them must hold a tap. (The security module learns nothing of anybody and has none.)
    #[must_use]
    pub fn tapped(&self) -> Vec<PathBuf> {
        let tapped = SERVICES.iter().filter(|service| **service != "nsm");
        tapped.map(|service| self.service(service, true)).collect()
    }
}
