//! A network namespace for whoever is to be somewhere else: of this host's network it has one end of a cable (a pair of
//! virtual Ethernet devices), and of its files its own notion of how names are resolved.
//!
//! It takes root. It is gone with the shell that keeps it, and the shell is gone with this process, however that ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// What is inside before anybody comes: no names but those of a resolver that isn't known yet, and a place for
/// WireGuard's control sockets. Then it waits for the end of its standard input.
const FURNISH: &str = "set -e
    mkdir -p /var/run/wireguard
    mount -t tmpfs none /var/run/wireguard
    for name in resolv.conf hosts nsswitch.conf; do
        if [ -e /etc/$name ]; then mount --bind \"$0/$name\" /etc/$name; fi
    done
    echo ready
    exec cat >/dev/null";

/// A network namespace.
pub struct Namespace {
    shell: Child,
    files: TempDir,
    host: Ipv4Addr,
    beyond: Ipv4Addr,
}

impl Namespace {
    /// Makes a namespace and lays the cable. The addresses are of those for benchmarks (RFC 2544): nobody else's.
    ///
    /// # Errors
    /// Without root, or when the kernel or a program for it is missing.
    pub fn open() -> Result<Self> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        ensure!(
            rustix::process::geteuid().is_root(),
            "a network namespace takes root: run `cargo xtask test -p interop` as root"
        );
        let files = tempfile::tempdir()?;
        for (name, text) in [("resolv.conf", ""), ("hosts", ""), ("nsswitch.conf", "hosts: dns\n")]
        {
            std::fs::write(files.path().join(name), text)?;
        }
        let mut shell = Command::new("unshare");
        shell.args(["--net", "--mount", "sh", "-c", FURNISH]).arg(files.path());
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = shell.stdout.take().context("no standard output")?;
        // Unlike others of this process and of others at this time.
        let number = (std::process::id() % 4096) * 4 + OPENED.fetch_add(1, Ordering::Relaxed) % 4;
        let address = |base: [u8; 4], offset| Ipv4Addr::from(u32::from_be_bytes(base) + offset);
        let namespace = Self {
            shell,
            files,
            host: address([198, 18, 0, 0], number * 4 + 1),
            beyond: address([198, 19, 0, 0], number),
        };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        ensure!(
            line.trim() == "ready",
            "there is no network namespace to be had here; a container needs --privileged, or the \
             capabilities NET_ADMIN and SYS_ADMIN"
        );
        namespace.lay_cable(number).context("no cable to the namespace")?;
        Ok(namespace)
    }

    /// This host's end of the cable: what the namespace reaches.
    #[must_use]
    pub const fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Another address of this host, to which the namespace has no way of its own.
    #[must_use]
    pub const fn beyond(&self) -> Ipv4Addr {
        self.beyond
    }

    /// A program to be run inside.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.shell.id().to_string(),
            "--net",
            "--mount",
            "--root",
            "--",
            program,
        ]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a program inside, to its end.
    ///
    /// # Errors
    /// When it can't be started or fails; what it says.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Vec<u8>> {
        let mut command = self.command(program);
        success(program, command.args(arguments).output()?)
    }

    /// Does something with this host's files and the namespace's network, on a thread of its own.
    ///
    /// # Errors
    /// When the thread can't go there, and the work's own.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        use std::os::fd::AsFd as _;
        let network = File::open(format!("/proc/{}/ns/net", self.shell.id()))?;
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            there.join().map_err(|_| anyhow::anyhow!("the thread panicked"))?
        })
    }

    /// From now on names are asked for at this address.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn resolve_at(&self, resolver: Ipv4Addr) -> Result<()> {
        let file = self.files.path().join("resolv.conf");
        Ok(std::fs::write(file, format!("nameserver {resolver}\noptions timeout:2 attempts:2\n"))?)
    }

    /// A directory for what belongs to it.
    pub(crate) fn files(&self) -> &Path {
        self.files.path()
    }

    fn lay_cable(&self, number: u32) -> Result<()> {
        let ours = format!("interop{number}");
        let shell = self.shell.id().to_string();
        let guest = Ipv4Addr::from(u32::from(self.host) + 1);
        ip(&["link", "add", &ours, "type", "veth", "peer", "name", "cable", "netns", &shell])?;
        ip(&["address", "add", &format!("{}/30", self.host), "dev", &ours])?;
        ip(&["address", "add", &format!("{}/32", self.beyond), "dev", &ours])?;
        ip(&["link", "set", &ours, "up"])?;
        let inside = |arguments: &[&str]| self.run("ip", arguments).map(drop);
        inside(&["address", "add", &format!("{guest}/30"), "dev", "cable"])?;
        inside(&["link", "set", "lo", "up"])?;
        inside(&["link", "set", "cable", "up"])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    success("ip", Command::new("ip").args(arguments).output()?).map(drop)
}

/// What a program printed that ended well.
fn success(program: &str, output: Output) -> Result<Vec<u8>> {
    if !output.status.success() {
        bail!("{program}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}
