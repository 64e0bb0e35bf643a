//! Rehearsals: a clock that is moved, and a process that is held at a step.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Hears which step a process has reached. Between two steps something became durable, or was sent.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<dyn Fn(&'static str) + Send + Sync>>);

impl Steps {
    /// Steps of which `hear` is told, before the process goes on.
    #[must_use]
    pub fn heard_by(hear: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    /// A step was reached.
    #[inline]
    pub fn reached(&self, step: &'static str) {
        if let Some(hear) = &self.0 {
            hear(step);
        }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps(..)")
    }
}

/// At which step a process is held, and where it says so. What is held waits for ever: somebody kills it.
#[derive(Debug)]
pub struct Hold {
    step: String,
    left: AtomicU32,
    note: PathBuf,
}

impl Hold {
    /// From `STEP:COUNT:PATH`: the `COUNT`-th time that `STEP` is reached the file `PATH` is written. Nothing for another text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (step, count, note) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Self { step: step.to_owned(), left: AtomicU32::new(count), note: note.into() })
    }

    /// The text that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn text(step: &str, count: u32, note: &Path) -> String {
        format!("{step}:{count}:{}", note.display())
    }

    /// A step was reached. If it is the one, and for the last time that it may pass, this never returns.
    pub(crate) fn reached(&self, step: &str) {
        let is_due = step == self.step && self.left.fetch_sub(1, Ordering::SeqCst) == 1;
        if is_due && fs::write(&self.note, step).is_ok() {
            loop {
                thread::park();
            }
        }
    }
}

/// By how many seconds the clock in the file at `path` is ahead. A file that is missing or isn't a number says nothing.
#[must_use]
pub fn ahead(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_is_held_at_the_step_and_time_that_were_named() {
        let room = tempfile::tempdir().unwrap();
        let note = room.path().join("held");
        let hold = Arc::new(Hold::parse(&Hold::text("one", 2, &note)).unwrap());
        let held = Arc::clone(&hold);
        let steps = Steps::heard_by(move |step| held.reached(step));
        for step in ["two", "one", "two", "two"] {
            steps.reached(step);
        }
        assert!(!note.exists());
        let holding = thread::spawn(move || steps.reached("one"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while fs::read_to_string(&note).ok().as_deref() != Some("one") {
            assert!(Instant::now() < deadline && !holding.is_finished());
            thread::yield_now();
        }
        assert!(!holding.is_finished());
        // Whoever comes later passes.
        hold.reached("one");
    }

    #[test]
    fn only_a_whole_order_holds() {
        assert!(Hold::parse("a:1:/tmp/x").is_some());
        for text in ["", "a", "a:1", "a:x:/tmp/x"] {
            assert!(Hold::parse(text).is_none(), "{text}");
        }
        Steps::default().reached("nobody listens");
    }

    #[test]
    fn a_clock_that_nobody_moved_is_not_ahead() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("ahead");
        assert_eq!(ahead(&path), 0);
        for (text, seconds) in [("", 0), ("x", 0), ("-5", 0), ("90000\n", 90_000)] {
            fs::write(&path, text).unwrap();
            assert_eq!(ahead(&path), seconds, "{text}");
        }
    }
}
