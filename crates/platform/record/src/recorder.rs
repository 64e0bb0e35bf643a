//! Writing a recording.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::rehearsal::{Hold, ahead};
use crate::{Connection, Opened, Steps, TAP_MARKER, Tap};

/// A [`Tap`] that appends everything to a file, in the format that [`Recording`](crate::Recording) reads.
///
/// Each chunk is on its way to the file before the process gets to see it, in one `write` of its own,
/// so that a process that is killed leaves what it knew. When a write fails the process aborts: an
/// audit with holes would prove nothing.
#[derive(Clone)]
pub struct Recorder(Arc<Tape>);

struct Tape {
    file: Mutex<File>,
    connections: AtomicU64,
    ahead: Option<PathBuf>,
    hold: Option<Hold>,
}

impl Recorder {
    /// Starts a recording at `path`, which must not exist yet; readable by the owner only.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        Self::rehearsing(path, None, None)
    }

    /// The same for a process whose clock is ahead by what the file `ahead` says whenever it is looked at, and which is held at a
    /// step.
    pub fn rehearsing(path: &Path, ahead: Option<PathBuf>, hold: Option<Hold>) -> io::Result<Self> {
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(format!("{TAP_MARKER}\n").as_bytes())?;
        let (file, connections) = (Mutex::new(file), AtomicU64::new(0));
        Ok(Self(Arc::new(Tape { file, connections, ahead, hold })))
    }

    /// Starts a recording where the variable `CLOAKROOM_RECORDING` says, with the clock of the file that `CLOAKROOM_AHEAD` names, and
    /// held where `CLOAKROOM_HOLD` says ([`Hold::parse`]); `None` when no recording is wanted, when the file can't be made, or for a
    /// hold that isn't one. A process that is to record and can't must not run.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let ahead = std::env::var_os("CLOAKROOM_AHEAD").map(PathBuf::from);
        let hold = match std::env::var("CLOAKROOM_HOLD") {
            Ok(text) => Some(Hold::parse(&text)?),
            Err(_) => None,
        };
        let path = std::env::var_os("CLOAKROOM_RECORDING")?;
        Self::rehearsing(Path::new(&path), ahead, hold).ok()
    }
}

impl Tape {
    fn line(&self, head: &str, bytes: &[u8]) {
        let mut line = String::with_capacity(head.len() + 2 * bytes.len() + 1);
        line.push_str(head);
        line.extend(bytes.iter().flat_map(|byte| [hex_digit(byte >> 4), hex_digit(byte & 15)]));
        line.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.write_all(line.as_bytes()).is_err() {
            std::process::abort();
        }
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('?')
}

impl Tap for Recorder {
    type Connection = RecordedConnection;

    fn connected(&self, opened: Opened, peer: Option<SocketAddr>) -> RecordedConnection {
        let number = self.0.connections.fetch_add(1, Ordering::Relaxed);
        let opened = match opened {
            Opened::ByPeer => "by-peer",
            Opened::ByUs => "by-us",
        };
        let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        self.0.line(&format!("opened {number} {opened} {peer}"), &[]);
        RecordedConnection { tape: Arc::clone(&self.0), number }
    }

    fn note(&self, kind: &'static str, bytes: &[u8]) {
        let kind = kind.replace(char::is_whitespace, "-");
        self.0.line(&format!("note {kind} "), bytes);
    }

    fn ahead(&self) -> u64 {
        self.0.ahead.as_deref().map_or(0, ahead)
    }

    fn steps(&self) -> Steps {
        if self.0.hold.is_none() {
            return Steps::default();
        }
        let tape = Arc::clone(&self.0);
        Steps::heard_by(move |step| {
            if let Some(hold) = &tape.hold {
                hold.reached(step);
            }
        })
    }
}

/// One connection of a [`Recorder`].
pub struct RecordedConnection {
    tape: Arc<Tape>,
    number: u64,
}

impl Connection for RecordedConnection {
    fn received(&mut self, bytes: &[u8]) {
        self.tape.line(&format!("received {} ", self.number), bytes);
    }
}

impl Drop for RecordedConnection {
    fn drop(&mut self) {
        self.tape.line(&format!("closed {}", self.number), &[]);
    }
}
