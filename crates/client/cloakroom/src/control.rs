//! The socket by which commands reach a tunnel that runs in the background: `control.sock` in the wallet's
//! directory. One JSON line asks, one answers.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use crate::output::{Failure, note};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// How is the tunnel?
    Status,
    /// Present the wallet's access token again: it may be a new one.
    Reload,
    /// Close the tunnel.
    Disconnect,
}

/// How the tunnel is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Whether the tunnel is open.
    pub(crate) connected: bool,
    /// Where the proxy listens.
    pub(crate) proxy: Option<String>,
    /// The address that traffic leaves from.
    pub(crate) exit_address: Option<String>,
    /// The hour at which access ends.
    pub(crate) access_until: Option<String>,
    /// Seconds since the last handshake.
    pub(crate) handshake_seconds: Option<u64>,
    /// Bytes sent through the tunnel.
    pub(crate) sent: u64,
    /// Bytes received through the tunnel.
    pub(crate) received: u64,
    /// Connections through the proxy.
    pub(crate) open_flows: usize,
}

impl Status {
    /// No tunnel.
    pub(crate) const CLOSED: Self = Self {
        connected: false,
        proxy: None,
        exit_address: None,
        access_until: None,
        handshake_seconds: None,
        sent: 0,
        received: 0,
        open_flows: 0,
    };
}

fn socket(home: &Path) -> PathBuf {
    home.join("control.sock")
}

/// Asks the tunnel of this wallet; nothing when there is none.
pub(crate) fn ask(home: &Path, request: Request) -> Result<Option<Status>, Failure> {
    let Ok(mut stream) = UnixStream::connect(socket(home)) else { return Ok(None) };
    let mut exchange = || -> anyhow::Result<Status> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut asked = serde_json::to_vec(&request)?;
        asked.push(b'\n');
        stream.write_all(&asked)?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    exchange()
        .map(Some)
        .map_err(|error| Failure::failed(&error.context("the tunnel's process does not answer")))
}

/// Tells a running tunnel something, if there is one.
pub(crate) fn tell_if_running(home: &Path, request: Request) -> Result<(), Failure> {
    if ask(home, request)?.is_some() {
        note("The open tunnel goes on with the new token.");
    }
    Ok(())
}

/// Waits until the tunnel's process has closed everything.
pub(crate) fn wait_until_closed(home: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while socket(home).exists() {
        if Instant::now() > deadline {
            return Err(Failure::failed(&anyhow::anyhow!("the tunnel's process doesn't end")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Listens for commands; a socket that a dead process left is replaced.
pub(crate) fn listen(home: &Path) -> Result<UnixListener, Failure> {
    let path = socket(home);
    if UnixStream::connect(&path).is_ok() {
        return Err(Failure::usage(
            "the tunnel is open already; close it with: cloakroom disconnect",
        ));
    }
    let bind = || -> std::io::Result<UnixListener> {
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Removes the socket.
pub(crate) fn close(home: &Path) {
    // Whoever finds a socket that nobody listens on replaces it.
    let _ = std::fs::remove_file(socket(home));
}
