//! A person's device: a wallet, a network address, and at times a tunnel.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::process::{run_command, text};
use super::web;

/// One device.
pub(crate) struct Device {
    /// The client's program.
    pub(crate) program: PathBuf,
    /// Where the wallet is.
    pub(crate) home: PathBuf,
    /// The address that everything leaves from.
    pub(crate) source: Ipv4Addr,
    /// The file that says by how much its clock is ahead; its program has to be the one for rehearsals.
    pub(crate) ahead: Option<PathBuf>,
    proxy: Option<SocketAddr>,
}

impl Device {
    /// A device with an empty wallet.
    pub(crate) const fn new(program: PathBuf, home: PathBuf, source: Ipv4Addr) -> Self {
        Self { program, home, source, ahead: None, proxy: None }
    }

    /// Another device of the same person.
    pub(crate) fn beside(&self, home: PathBuf, source: Ipv4Addr) -> Self {
        let (program, ahead) = (self.program.clone(), self.ahead.clone());
        Self { program, home, source, ahead, proxy: None }
    }

    /// Runs the client with this device's wallet and address.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Result<Value> {
        let source = self.source.to_string();
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(&self.home).args(["--source", &source, "--json"]);
        command.args(arguments).envs(self.ahead.iter().map(|ahead| ("CLOAKROOM_AHEAD", ahead)));
        let output = run_command(&mut command, input)
            .with_context(|| format!("{source}: cloakroom {}", arguments.join(" ")))?;
        Ok(serde_json::from_str(&output).unwrap_or(Value::Null))
    }

    /// What the wallet's file says.
    pub(crate) fn wallet(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.home.join("wallet.json"))?)?)
    }

    /// Opens the tunnel.
    pub(crate) fn connect(&mut self) -> Result<()> {
        let status = self.run(&["connect", "--proxy", "127.0.0.1:0"], "")?;
        self.proxy = Some(text(&status, &["proxy"])?.parse()?);
        Ok(())
    }

    /// The addresses that a web server sees through the tunnel, by either kind of proxy.
    pub(crate) fn seen_by(&self, server: SocketAddr) -> Result<[IpAddr; 2]> {
        let proxy = self.proxy.context("not connected")?;
        let by_socks = web::seen_through_socks(server, proxy)?;
        Ok([by_socks, web::seen_through_connect(server, proxy)?])
    }

    /// Closes the tunnel.
    pub(crate) fn disconnect(&mut self) -> Result<()> {
        self.run(&["disconnect"], "")?;
        self.proxy = None;
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.proxy.is_some() {
            // A demo that failed half way leaves no tunnel behind.
            let _ = self.disconnect();
        }
    }
}
