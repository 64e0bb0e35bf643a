//! Killing a server with all its processes at once, as a crash of the machine would.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kills a process and its children, and waits until the children are gone. The process itself is its parent's to wait for.
pub(crate) fn kill(parent: u32) -> Result<()> {
    // The parent first: it would start some of them again.
    send(parent, Signal::KILL);
    let children = children_of(parent);
    children.iter().for_each(|child| send(*child, Signal::KILL));
    let deadline = Instant::now() + PATIENCE;
    while children.iter().any(|child| runs(*child)) {
        if Instant::now() > deadline {
            bail!("the server's processes don't go away");
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Sends a signal to a process that may have ended already.
pub(crate) fn send(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = kill_process(process, signal);
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|process| state_of(*process).is_some_and(|(_, its)| its == parent)).collect()
}

/// Whether a process runs. (One that has ended and that nobody waited for doesn't.)
fn runs(process: u32) -> bool {
    state_of(process).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// A process's state and its parent (proc(5)); the name before them may hold anything.
fn state_of(process: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
