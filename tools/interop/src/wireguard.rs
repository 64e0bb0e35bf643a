//! A stock WireGuard client: Debian's `wireguard-go` with `wg`, brought up from a file as `wg-quick` does it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};
use endtoend::eventually;

use crate::namespace::Namespace;

/// The tunnel's device.
const DEVICE: &str = "wg0";
/// Runs the client until the shell's standard input ends, which it does with the test.
const RUN: &str = "wireguard-go --foreground \"$0\" 2>\"$1\" & cat >/dev/null; kill $!; wait";

/// A running client in a namespace. All that has no other way there goes through its tunnel.
pub struct StockClient<'a> {
    namespace: &'a Namespace,
    shell: Child,
}

impl<'a> StockClient<'a> {
    /// Brings a tunnel up from a configuration file, whose name is what `wg-quick` wants: at most 15 letters and `.conf`.
    ///
    /// # Errors
    /// When a program fails, or the file hasn't what a device needs.
    pub fn up(namespace: &'a Namespace, file: &Path) -> Result<Self> {
        ensure!(
            Path::new("/dev/net/tun").exists(),
            "wireguard-go needs /dev/net/tun, which isn't here: `modprobe tun`, or give the container \
             this device"
        );
        let text = std::fs::read_to_string(file)?;
        let errors = namespace.files().join("wireguard-go");
        let mut shell = namespace.command("sh");
        shell.args(["-c", RUN, DEVICE]).arg(&errors).stdin(Stdio::piped()).stdout(Stdio::null());
        let client = Self { namespace, shell: shell.spawn()? };
        eventually(|| client.wg("private-key"))
            .with_context(|| std::fs::read_to_string(&errors).unwrap_or_default())?;
        let arguments =
            ["-o", "pipefail", "-c", "wg-quick strip \"$1\" | wg setconf \"$0\" /dev/stdin"];
        let file = file.to_str().context("no text")?;
        namespace.run("bash", arguments.into_iter().chain([DEVICE, file]))?;
        let ip = |arguments: &[&str]| namespace.run("ip", arguments).map(drop);
        ip(&["address", "add", setting(&text, "Address")?, "dev", DEVICE])?;
        ip(&["link", "set", DEVICE, "mtu", setting(&text, "MTU")?, "up"])?;
        ip(&["route", "add", "default", "dev", DEVICE])?;
        namespace.resolve_at(setting(&text, "DNS")?.parse::<Ipv4Addr>()?)?;
        Ok(client)
    }

    /// When the last handshake was, in seconds since 1970; 0 when there was none.
    ///
    /// # Errors
    /// When the client has no peer.
    pub fn last_handshake(&self) -> Result<u64> {
        let said = self.wg("latest-handshakes")?;
        said.split_whitespace().last().context("no peer")?.parse().context(said.clone())
    }

    fn wg(&self, what: &str) -> Result<String> {
        Ok(String::from_utf8(self.namespace.run("wg", ["show", DEVICE, what])?)?)
    }
}

impl Drop for StockClient<'_> {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// The value of a line `NAME = VALUE`.
fn setting<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let value = |line: &'a str| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == name).then_some(value.trim())
    };
    text.lines().find_map(value).with_context(|| format!("the file has no {name}"))
}
