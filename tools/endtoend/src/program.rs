//! The `cloakroom` program as people run it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use attested::{Provider, SignedProvider};
use coarse::{Secret, system_rng};
use jws::SigningKey;
use lab::Town;
use serde_json::Value;
use tempfile::TempDir;

/// What came of a command.
#[derive(Debug)]
pub struct Ran {
    /// The exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// The JSON that a success printed.
    ///
    /// # Errors
    /// For another end.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.status == 0, "exit status {}: {}", self.status, self.err.trim());
        serde_json::from_str(&self.out).with_context(|| self.out.clone())
    }
}

/// Runs the program with these arguments and this input.
///
/// # Errors
/// When it can't be started or is killed.
pub fn cloakroom(arguments: &[&str], input: &str) -> Result<Ran> {
    let mut child = Command::new(crate::scene::binaries()?.client())
        .args(arguments)
        .env_remove("CLOAKROOM_HOME")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut standard_input) = child.stdin.take() {
        // A program that ends without reading says why.
        let _ = standard_input.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    Ok(Ran {
        status: output.status.code().context("it was killed")?,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// Writes a provider's file into `room`, signed by a key of its own: what somebody trusts who was given this file.
///
/// # Errors
/// When the provider contradicts itself, or the file can't be written.
pub fn provider_file(provider: &Provider, room: &Path) -> Result<PathBuf> {
    let key = SigningKey::from_seed(&Secret::random(&mut system_rng()))?;
    let path = room.join(format!("provider-{}.json", key.verifying_key().id()));
    std::fs::write(&path, SignedProvider::sign(provider, &key)?.to_json()?)?;
    Ok(path)
}

/// A person who uses the program, with an account.
pub struct User {
    /// The account's number.
    pub account: String,
    /// The subscription's id.
    pub subscription: String,
    provider: PathBuf,
    home: TempDir,
}

impl User {
    /// A new user of a town. The wallet is empty.
    ///
    /// # Errors
    /// When accounts doesn't make an account.
    pub fn new(town: &Town) -> Result<Self> {
        let (account, subscription) = town.make_account()?;
        Ok(Self { account, subscription, provider: town.provider(), home: tempfile::tempdir()? })
    }

    /// The same for whom the provider's file is this one.
    #[must_use]
    pub fn who_is_given(mut self, provider: PathBuf) -> Self {
        self.provider = provider;
        self
    }

    /// A new user who trusts the provider and has logged in.
    ///
    /// # Errors
    /// When that fails.
    pub fn logged_in(town: &Town) -> Result<Self> {
        Self::new(town)?.who_logs_in()
    }

    /// The same after they have taken the provider's file in and logged in.
    ///
    /// # Errors
    /// When that fails.
    pub fn who_logs_in(self) -> Result<Self> {
        self.trust()?.json()?;
        self.log_in()?.json()?;
        Ok(self)
    }

    /// The same person with another device, whose wallet is empty.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn on_another_device(&self) -> Result<Self> {
        Ok(Self {
            account: self.account.clone(),
            subscription: self.subscription.clone(),
            provider: self.provider.clone(),
            home: tempfile::tempdir()?,
        })
    }

    /// Where the wallet is.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The wallet's file; nothing before there is one.
    #[must_use]
    pub fn wallet(&self) -> Option<String> {
        std::fs::read_to_string(self.home().join("wallet.json")).ok()
    }

    /// Runs a command on this wallet.
    ///
    /// # Errors
    /// As [`cloakroom`].
    pub fn run(&self, arguments: &[&str]) -> Result<Ran> {
        self.run_with(arguments, "")
    }

    /// Runs a command that reads its standard input.
    ///
    /// # Errors
    /// As [`cloakroom`].
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Result<Ran> {
        let home = self.home().to_str().context("no text")?;
        let mut all = vec!["--home", home, "--json"];
        all.extend(arguments);
        cloakroom(&all, input)
    }

    /// Takes the provider's file in.
    ///
    /// # Errors
    /// As [`cloakroom`].
    pub fn trust(&self) -> Result<Ran> {
        let file = self.provider.to_str().context("no text")?;
        self.run(&["trust", "add", file, "--accept-untrusted-development"])
    }

    /// Sets the account.
    ///
    /// # Errors
    /// As [`cloakroom`].
    pub fn log_in(&self) -> Result<Ran> {
        self.run_with(&["account", "login"], &self.account)
    }

    /// Takes the address over that is backed up under this code.
    ///
    /// # Errors
    /// As [`cloakroom`].
    pub fn restore(&self, code: &str) -> Result<Ran> {
        self.run_with(&["dip", "restore"], code)
    }

    /// Opens the tunnel: where its proxy listens.
    ///
    /// # Errors
    /// When it doesn't open.
    pub fn connect(&self) -> Result<SocketAddr> {
        let connected = self.run(&["connect", "--proxy", "127.0.0.1:0"])?.json()?;
        let proxy = connected.get("proxy").and_then(Value::as_str);
        Ok(proxy.context("no proxy")?.parse()?)
    }

    /// Gets a dedicated IP.
    ///
    /// # Errors
    /// As [`cloakroom`].
    pub fn assign(&self) -> Result<Ran> {
        self.run(&["dip", "assign", "--region", crate::services::REGION, "--wait", "0"])
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if self.home().join("control.sock").exists() {
            // A test that failed half way leaves no tunnel behind.
            let _ = self.run(&["disconnect"]);
        }
    }
}
