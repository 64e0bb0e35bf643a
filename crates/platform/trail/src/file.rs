//! The trail's file: one line appended at a time, by one process at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use coarse::UnixTime;
use rustix::fs::{FlockOperation, flock};

use crate::chain::{Broken, Entry, Hash, Head, Line, check};

/// The longest label or subject that is kept, in bytes.
const LONGEST: usize = 256;

/// A service's trail: `trail.jsonl` in its state directory (0600).
#[derive(Clone, Debug)]
pub struct Trail {
    path: PathBuf,
}

/// Why a trail can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrailError {
    /// The file system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// The trail isn't what was written.
    #[error("the trail is broken: {0}")]
    Broken(#[from] Broken),
}

impl Trail {
    /// The trail of the service whose state directory this is.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self { path: state.join("trail.jsonl") }
    }

    /// Appends a line, durably. A line that a crash cut short is completed by nothing: it stays, and [`verify`](Self::verify) tells;
    /// nothing is appended to a broken trail.
    ///
    /// # Errors
    /// [`TrailError`].
    pub fn append(
        &self,
        now: UnixTime,
        operator: &str,
        action: &str,
        subject: &str,
        outcome: &str,
    ) -> Result<Head, TrailError> {
        let failed = |error| self.failed(error);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| self.failed(error.into()))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let (_, head) = check(&text, None)?;
        let entry = Entry {
            hour: now.hour(),
            operator: shortened(operator),
            action: shortened(action),
            subject: shortened(subject),
            outcome: shortened(outcome),
        };
        let line = Line::after(head.head, entry);
        let mut bytes = serde_json::to_vec(&line).map_err(|error| self.failed(error.into()))?;
        bytes.push(b'\n');
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(Head { lines: head.lines + 1, head: line.hash })
    }

    /// All lines, once the chain was checked; with the head that was noted before, also that nothing is missing at the end.
    ///
    /// # Errors
    /// [`TrailError`].
    pub fn verify(&self, noted: Option<Hash>) -> Result<(Vec<Line>, Head), TrailError> {
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(mut file) => {
                flock(&file, FlockOperation::LockShared)
                    .map_err(|error| self.failed(error.into()))?;
                file.read_to_string(&mut text).map_err(|error| self.failed(error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.failed(error)),
        }
        Ok(check(&text, noted)?)
    }

    fn failed(&self, error: io::Error) -> TrailError {
        TrailError::Io(self.path.clone(), error)
    }
}

/// At most [`LONGEST`] bytes of printable text.
fn shortened(text: &str) -> String {
    let mut kept: String = text.chars().filter(|letter| !letter.is_control()).collect();
    while kept.len() > LONGEST {
        kept.pop();
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_123);

    #[test]
    fn lines_are_appended_for_this_user_alone_and_dated_to_the_hour() {
        let room = tempfile::tempdir().unwrap();
        let trail = Trail::of(room.path());
        assert_eq!(trail.verify(None).unwrap().1, Head::EMPTY);
        trail.append(NOW, "ada\n", "one", "", "done").unwrap();
        let head = trail.append(NOW, "bob", "two", &"x".repeat(999), "done").unwrap();
        let (lines, read) = trail.verify(Some(head.head)).unwrap();
        assert_eq!(read, head);
        assert_eq!(lines[0].entry.operator, "ada");
        assert_eq!(lines[1].entry.subject.len(), LONGEST);
        let path = room.path().join("trail.jsonl");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("1800000123"), "{text}");
    }

    #[test]
    fn many_writers_make_one_chain() {
        let room = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let trail = Trail::of(room.path());
                scope.spawn(move || {
                    for _ in 0..10 {
                        trail.append(NOW, &writer.to_string(), "act", "", "done").unwrap();
                    }
                });
            }
        });
        assert_eq!(Trail::of(room.path()).verify(None).unwrap().1.lines, 80);
    }

    #[test]
    fn nothing_is_appended_to_a_broken_trail() {
        let room = tempfile::tempdir().unwrap();
        let trail = Trail::of(room.path());
        trail.append(NOW, "ada", "one", "", "done").unwrap();
        let path = room.path().join("trail.jsonl");
        let text = std::fs::read_to_string(&path).unwrap().replace("one", "two");
        std::fs::write(&path, &text).unwrap();
        let refused = trail.append(NOW, "ada", "three", "", "done").unwrap_err();
        assert!(matches!(refused, TrailError::Broken(Broken::Changed(1))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
