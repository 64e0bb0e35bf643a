//! Somebody between a service and its server who cuts the connection at a chosen moment.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::TempDir;

/// When to cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never hears of it.
    BeforeCommit,
    /// The server commits, and its answer is lost.
    AfterCommit,
}

/// Passes on what goes by, and cuts the first connection on which a commit goes by once it is armed.
pub(crate) struct Proxy {
    room: TempDir,
    armed: Arc<AtomicBool>,
}

const SOCKET: &str = ".s.PGSQL.5432";

impl Proxy {
    /// Before the server whose socket is in `behind`.
    pub(crate) fn before(behind: &Path, cut: Cut) -> std::io::Result<Self> {
        let room = tempfile::tempdir()?;
        let listener = UnixListener::bind(room.path().join(SOCKET))?;
        let (armed, behind) = (Arc::new(AtomicBool::new(false)), behind.join(SOCKET));
        let proxy = Self { room, armed: Arc::clone(&armed) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (armed, behind) = (Arc::clone(&armed), behind.clone());
                thread::spawn(move || pass(client, &behind, cut, &armed));
            }
        });
        Ok(proxy)
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.room.path().to_owned()
    }

    /// The next commit is the one.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}

fn pass(mut client: UnixStream, behind: &Path, cut: Cut, armed: &AtomicBool) -> Option<()> {
    let mut server = UnixStream::connect(behind).ok()?;
    let (mut back, mut to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let answers = thread::spawn(move || std::io::copy(&mut back, &mut to_client));
    let mut bytes = [0; 4096];
    loop {
        let count = client.read(&mut bytes).ok().filter(|count| *count > 0)?;
        let sent = bytes.get(..count)?;
        let commits = sent.windows(7).any(|window| window == b"COMMIT\0");
        if commits && armed.swap(false, Ordering::SeqCst) {
            client.shutdown(std::net::Shutdown::Both).ok()?;
            if cut == Cut::AfterCommit {
                server.write_all(sent).ok()?;
            }
            // It hangs up once it has done what it was told.
            server.shutdown(std::net::Shutdown::Write).ok()?;
            let _ = answers.join();
            return None;
        }
        server.write_all(sent).ok()?;
    }
}
