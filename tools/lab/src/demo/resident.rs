//! Processes that outlive whoever started them, and how to recognise and end them later.
//!
//! Such a process leaves the session that it was started in, and writes a note of itself before it becomes its
//! program: process id, start time (both from Linux's `/proc`, see proc_pid_stat(5)) and the machine's boot. A process
//! id alone says nothing later, since the system gives it to others; with the start time and the boot it names one process
//! for ever. So nobody is ever signalled but the process that wrote the note.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, setsid};
use serde::{Deserialize, Serialize};

/// One process, named for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resident {
    /// Its process id.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the boot.
    started: u64,
    /// Which boot.
    boot: String,
}

/// Leaves the session, writes a note of this process to `note`, and becomes `program`.
///
/// # Errors
/// Comes back only with one.
pub fn become_resident(note: &Path, program: &Path, arguments: &[OsString]) -> Result<()> {
    setsid().context("this process leads a group already")?;
    std::env::set_current_dir("/")?;
    let this = Resident::of(i32::try_from(std::process::id())?).context("/proc isn't there")?;
    let unfinished = note.with_extension("new");
    fs::write(&unfinished, serde_json::to_vec(&this)?)?;
    fs::rename(&unfinished, note)?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("{} can't be started", program.display()))
}

impl Resident {
    /// The process that has this id now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        Some(Self { pid, started: stat.started, boot: boot()? })
    }

    /// The one that wrote the note at `path`.
    pub(crate) fn noted(path: &Path) -> Result<Self> {
        let read = || format!("reading {}", path.display());
        serde_json::from_slice(&fs::read(path).with_context(read)?).with_context(read)
    }

    /// Whether it still runs. (What has ended and waits for its parent to notice doesn't.)
    pub(crate) fn runs(&self) -> bool {
        let same = |stat: &Stat| stat.started == self.started && !stat.ended();
        boot().is_some_and(|boot| boot == self.boot)
            && Stat::of(self.pid).as_ref().is_some_and(same)
    }

    /// Its child, when it has one that runs.
    pub(crate) fn child(&self) -> Option<Self> {
        let entries = fs::read_dir("/proc").ok()?.flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let pid = pids.find(|pid| {
            Stat::of(*pid).is_some_and(|stat| stat.parent == self.pid && !stat.ended())
        })?;
        Self::of(pid)
    }

    /// Signals it, and never another that was given its id.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        // The handle stands for whoever has the id now; who that is can be looked at safely afterwards.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
        if self.runs() {
            pidfd_send_signal(handle, signal).with_context(|| format!("process {}", self.pid))?;
        }
        Ok(())
    }

    /// Tells all to stop and waits until they have; after `patience` they are killed.
    pub(crate) fn end(all: &[Self], patience: Duration) -> Result<()> {
        all.iter().try_for_each(|one| one.signal(Signal::TERM))?;
        if !gone(all, patience) {
            all.iter().try_for_each(|one| one.signal(Signal::KILL))?;
            if !gone(all, patience) {
                let left = all.iter().filter(|one| one.runs()).map(|one| one.pid.to_string());
                bail!("can't be killed: {}", left.collect::<Vec<_>>().join(", "));
            }
        }
        Ok(())
    }
}

/// Waits until none of them runs; whether that came to be.
fn gone(all: &[Resident], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while all.iter().any(Resident::runs) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// What `/proc/PID/stat` says.
struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The program's name stands in parentheses and may hold anything, parentheses too; fields are counted after it.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // Fields 3 and 4 are taken; the start time is field 22.
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self { state, parent, started })
    }

    fn ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let text = "7 (a) b) (c) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9 9";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.started), ('S', 3, 4711));
        assert!(Stat::parse("7 (a) S 3").is_none());
    }

    #[test]
    fn only_the_very_process_is_signalled() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let real = Resident::of(pid).unwrap();
        assert!(real.runs());
        let this = Resident::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(this.child().is_some());
        let earlier = Resident { started: real.started - 1, ..real.clone() };
        let other_boot = Resident { boot: "another".to_owned(), ..real.clone() };
        for other in [earlier, other_boot] {
            assert!(!other.runs());
            Resident::end(&[other], Duration::from_secs(20)).unwrap();
        }
        assert!(child.try_wait().unwrap().is_none(), "another's note ended it");
        Resident::end(std::slice::from_ref(&real), Duration::from_secs(20)).unwrap();
        assert!(!real.runs(), "it has ended, though nobody has noticed yet");
        child.wait().unwrap();
    }
}
