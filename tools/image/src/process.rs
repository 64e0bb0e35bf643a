//! Other programs: asked, or kept running.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How often is looked whether something has come about.
const PAUSE: Duration = Duration::from_millis(20);

/// What a program prints; an error with what it complained of when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| format!("{name} can't be started"))?;
    let complaint = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    ensure!(done.status.success(), "{name} failed: {complaint}");
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// A program that runs until this is dropped; what it says is in a file.
pub(crate) struct Running {
    name: String,
    child: Child,
    said: std::path::PathBuf,
}

impl Running {
    pub(crate) fn start(name: &str, command: &mut Command, room: &Path) -> Result<Self> {
        let said = room.join(format!("{name}.log"));
        let log = std::fs::File::create(&said)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| {
            let program = command.get_program().to_string_lossy().into_owned();
            format!("{program} can't be started")
        })?;
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
