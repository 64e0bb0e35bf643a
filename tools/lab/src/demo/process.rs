//! Processes: those that serve, and those that do one thing.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a service may take to drain and stop.
const DRAIN: Duration = Duration::from_secs(20);

/// A process that serves. It is killed when it is dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    errors: PathBuf,
    log: Option<PathBuf>,
    stays: bool,
}

impl Process {
    /// Starts `command` with its standard error in a file, and tells it where to record, if it does.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        errors: PathBuf,
        recording: Option<&Path>,
    ) -> Result<Self> {
        if let Some(recording) = recording {
            command.env("CLOAKROOM_RECORDING", recording);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?)
            .spawn()
            .with_context(|| format!("{name} can't be started"))?;
        Ok(Self { name: name.to_owned(), child, errors, log: None, stays: false })
    }

    /// The same process, which keeps its log in a file.
    pub(crate) fn logging(mut self, log: PathBuf) -> Self {
        self.log = Some(log);
        self
    }

    /// What it said, and what it did last.
    fn said(&self) -> String {
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let log = self.log.as_ref().map(read).unwrap_or_default();
        let last = log.lines().rev().take(5).collect::<Vec<_>>();
        let errors = read(&self.errors);
        let lines = std::iter::once(errors.trim()).chain(last.into_iter().rev());
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on without this program.
    pub(crate) fn leave(mut self) {
        self.stays = true;
    }

    /// Waits until `ready` says so.
    pub(crate) fn wait_until(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.said());
            }
            if Instant::now() > deadline {
                bail!("{} isn't ready after {patience:?}: {}", self.name, self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Tells it to stop. It goes on until what is under way is done.
    pub(crate) fn terminate(&self) {
        if let Some(id) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already.
            let _ = kill_process(id, Signal::TERM);
        }
    }

    /// Waits for the end of a process that was told to stop.
    pub(crate) fn wait(mut self) -> Result<()> {
        let deadline = Instant::now() + DRAIN;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("{} doesn't stop", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end, with `input` on its standard input, and gives its standard output. Its standard
/// error is the error when it fails.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    input: &str,
) -> Result<String> {
    run_command(Command::new(program).args(arguments), input)
}

/// The same of a program with its arguments.
pub(crate) fn run_command(command: &mut Command, input: &str) -> Result<String> {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().display().to_string();
    let output = collect(command, input).with_context(|| format!("{name} can't run"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The text at `path` in what a program printed.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> Result<&'a str> {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    found.and_then(Value::as_str).with_context(|| format!("there is no {}", path.join(".")))
}

fn collect(command: &mut Command, input: &str) -> std::io::Result<Output> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut standard_input) = child.stdin.take() {
        // A program that doesn't read its input says in its own words what is wrong.
        let _ = standard_input.write_all(input.as_bytes());
    }
    child.wait_with_output()
}
