//! Running the scripts that stand beside this crate.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What came of a script.
#[derive(Debug)]
pub struct Ran {
    /// Whether it ended with status 0.
    pub success: bool,
    /// The JSON that it printed; null when it printed none.
    pub said: Value,
    /// Standard error.
    pub err: String,
}

/// Runs a script to its end.
///
/// # Errors
/// When it can't be started.
pub fn run<A: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = A>) -> Result<Ran> {
    let output = command(script)?.args(arguments).output().context(NO_NODE)?;
    Ok(Ran {
        success: output.status.success(),
        said: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A script that serves, until this is dropped or this process ends.
pub struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts the script; it prints its URL once it serves.
    ///
    /// # Errors
    /// When it can't be started or ends at once.
    pub fn start(script: &str) -> Result<Self> {
        let mut command = command(script)?;
        // The script ends with its standard input, so also when this process is killed.
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context(NO_NODE)?;
        let said = child.stdout.take().context("no standard output")?;
        let mut server = Self { child, url: String::new() };
        BufReader::new(said).read_line(&mut server.url)?;
        server.url.truncate(server.url.trim_end().len());
        ensure!(!server.url.is_empty(), "{script} ended without serving");
        Ok(server)
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NO_NODE: &str =
    "Node.js can't be started: run `cargo xtask test -p interop` as root, which installs it";

fn command(script: &str) -> Result<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    ensure!(
        here.join("node_modules").is_dir(),
        "the npm packages aren't installed: run `cargo xtask test -p interop`, or `npm ci` in {}",
        here.display()
    );
    let mut command = Command::new("node");
    command.arg(here.join(script)).stdin(Stdio::null());
    Ok(command)
}
