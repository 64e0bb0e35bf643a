//! The trail's file: one line appended at a time, by one process at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use coarse::UnixTime;
use rustix::fs::{FlockOperation, flock};

use crate::chain::{Broken, Entry, GENESIS, Hash, Head, Line, check};

/// The longest label or subject that is kept, in bytes.
const LONGEST: usize = 256;
/// No line is longer, in bytes: four such fields, escaped, and two hashes.
const LONGEST_LINE: u64 = 8 << 10;

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
    #[error("{0}")]
    Io(PathBuf, #[source] io::Error),
    /// The trail isn't what was written.
    #[error("the trail is broken")]
    Broken(#[from] Broken),
}

impl Trail {
    /// The trail of the service whose state directory this is.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self { path: state.join("trail.jsonl") }
    }

    /// Appends a line, durably, and gives its hash. What a crash left of a line that was never finished goes first. Only the last line is
    /// read, so that this costs the same however long the trail is: nothing is appended to a last line that was tampered with, and
    /// [`verify`](Self::verify) tells about all others.
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
    ) -> Result<Hash, TrailError> {
        let failed = |error| self.failed(error);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| self.failed(error.into()))?;
        let last = self.last(&mut file)?;
        let entry = Entry {
            hour: now.hour(),
            operator: shortened(operator),
            action: shortened(action),
            subject: shortened(subject),
            outcome: shortened(outcome),
        };
        let line = Line::after(last, entry);
        let mut bytes = serde_json::to_vec(&line).map_err(|error| self.failed(error.into()))?;
        bytes.push(b'\n');
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(line.hash)
    }

    /// The hash of the last line, which nothing but the file's end follows from here on.
    fn last(&self, file: &mut File) -> Result<Hash, TrailError> {
        let failed = |error| self.failed(error);
        let length = file.metadata().map_err(failed)?.len();
        let start = length.saturating_sub(LONGEST_LINE);
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut end = Vec::new();
        file.read_to_end(&mut end).map_err(failed)?;
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (lines, unfinished) = end.split_at(whole);
        if let ([], 1..) = (lines, start) {
            return Err(self.broken(file));
        }
        if !unfinished.is_empty() {
            file.set_len(length - unfinished.len() as u64).map_err(failed)?;
        }
        let Some((_, lines)) = lines.split_last() else { return Ok(GENESIS) };
        let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let line: Option<Line> = serde_json::from_slice(last).ok();
        match line.filter(Line::is_sound) {
            Some(line) => Ok(line.hash),
            None => Err(self.broken(file)),
        }
    }

    /// What is wrong with a trail whose last line isn't sound.
    fn broken(&self, file: &mut File) -> TrailError {
        let mut text = String::new();
        match file.rewind().and_then(|()| file.read_to_string(&mut text)) {
            Ok(_) => check(&text, None).err().unwrap_or(Broken::Short).into(),
            Err(error) => self.failed(error),
        }
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
        let last = trail.append(NOW, "bob", "two", &"x".repeat(999), "done").unwrap();
        let (lines, read) = trail.verify(Some(last)).unwrap();
        assert_eq!(read, Head { lines: 2, head: last });
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
    fn lines_of_any_length_follow_each_other() {
        let room = tempfile::tempdir().unwrap();
        let trail = Trail::of(room.path());
        for length in [0, 1, LONGEST, LONGEST + 1, 3].repeat(20) {
            // What takes most room: every byte escaped.
            let longest = "\"".repeat(length);
            trail.append(NOW, &longest, &longest, &longest, &longest).unwrap();
        }
        let (lines, head) = trail.verify(None).unwrap();
        assert_eq!(head.lines, 100);
        let written = lines.iter().map(|line| serde_json::to_vec(line).unwrap().len() as u64);
        assert!(written.max().unwrap() < LONGEST_LINE);
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_taken_away() {
        let room = tempfile::tempdir().unwrap();
        let trail = Trail::of(room.path());
        let path = room.path().join("trail.jsonl");
        for lines in 0..3 {
            let whole = std::fs::read_to_string(&path).unwrap_or_default();
            let unfinished = "{\"hour\":5".repeat(lines);
            std::fs::write(&path, whole.clone() + &unfinished).unwrap();
            assert_eq!(trail.verify(None).is_err(), lines > 0, "it is told, until then");
            trail.append(NOW, "ada", "one", "", "done").unwrap();
            assert_eq!(trail.verify(None).unwrap().1.lines, lines + 1);
            assert!(std::fs::read_to_string(&path).unwrap().starts_with(&whole));
        }
        // Not a line of ours: longer than any.
        std::fs::write(&path, "x".repeat(9000)).unwrap();
        assert!(trail.append(NOW, "ada", "one", "", "done").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 9000);
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
