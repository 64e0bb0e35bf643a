//! Other programs, kept running.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often is looked whether something has come about.
const PAUSE: Duration = Duration::from_millis(20);

/// A program that runs until this is dropped; what it says is in a file.
pub(crate) struct Running {
    name: String,
    child: Child,
    said: PathBuf,
}

impl Running {
    pub(crate) fn start(name: &str, command: &mut Command, room: &Path) -> Result<Self> {
        let said = room.join(format!("{name}.log"));
        let log = std::fs::File::create(&said)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("{} can't be started", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, said })
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.said).unwrap_or_default()).into_owned()
    }

    /// Waits until something has come about; an error when the program ends first, or it takes too long.
    pub(crate) fn until<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(seen) = look(self) {
                return Ok(seen);
            }
            let ended = self.child.try_wait()?.map(|status| format!("it ended with {status}"));
            let late = (Instant::now() > deadline).then(|| "it takes too long".to_owned());
            if let Some(why) = ended.or(late) {
                bail!("{}: {what}: {why}\n{}", self.name, self.said());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
