//! What a run leaves in its directory, and how the audits look at it: in its place, or in a copy.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::town::PARTIES;
use crate::knowledge::{Evidence, Party};

/// The directory of a run that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) root: PathBuf,
}

impl Left {
    /// Everything that the parties left behind, and what they showed.
    pub(crate) fn evidence(&self, shown: &[(Party, Vec<u8>)]) -> Result<Vec<Evidence>> {
        let mut all = Vec::new();
        for (party, service) in PARTIES {
            all.push(Evidence {
                recordings: recordings(&self.root.join(service))?,
                state: vec![self.root.join(service).join("state")],
                logs: self.logs(service),
                ..Evidence::of(party)
            });
        }
        for (party, metrics) in shown {
            let extras = vec![("metrics".into(), metrics.clone())];
            all.push(Evidence { extras, ..Evidence::of(*party) });
        }
        let state = vec![self.root.join("people")];
        all.push(Evidence { state, ..Evidence::of(Party::Client) });
        Ok(all)
    }

    /// A service's log, and what its process said when it failed.
    pub(crate) fn logs(&self, service: &str) -> Vec<PathBuf> {
        let home = self.root.join(service);
        let logs = ["log", "errors"].map(|name| home.join(name));
        logs.into_iter().filter(|path| path.exists()).collect()
    }

    /// A copy of all files, each with its time.
    pub(crate) fn copy(&self, to: &Path) -> Result<Self> {
        copy(&self.root, to).with_context(|| format!("copying {}", self.root.display()))?;
        Ok(Self { root: to.to_owned() })
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            copy(&source, &target)?;
        } else if metadata.is_file() {
            fs::copy(&source, &target)?;
            File::options().write(true).open(&target)?.set_modified(metadata.modified()?)?;
        }
    }
    Ok(())
}

/// The recordings that a tapped service made, the first first: one from each start to the next end.
///
/// # Errors
/// When the directory can't be read.
pub fn recordings(home: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(home).with_context(|| home.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let number = |path: &PathBuf| {
        let (name, number) = path.file_name()?.to_str()?.rsplit_once('.')?;
        matches!(name, RECORDING | ENCLAVE_RECORDING).then(|| number.parse::<u32>().ok())?
    };
    let mut numbered: Vec<_> =
        paths.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// What the recordings of a service are called, before their number.
pub(crate) const RECORDING: &str = "recording";
/// The same of the enclave, which has no directory but its module's.
pub(crate) const ENCLAVE_RECORDING: &str = "enclave-recording";

/// Where a service that starts now is to record. A recording is of one process: none is ever continued, so that what a process
/// left when it was killed stays as it is.
pub(crate) fn next_recording(home: &Path, name: &str) -> PathBuf {
    let path = |number: u32| home.join(format!("{name}.{number}"));
    let free = (1..).find(|number| !path(*number).exists());
    path(free.unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_numbered_and_listed_in_order() {
        let room = tempfile::tempdir().unwrap();
        for number in 1..=11 {
            let path = next_recording(room.path(), RECORDING);
            assert!(path.ends_with(format!("recording.{number}")));
            fs::write(path, "x").unwrap();
        }
        fs::write(room.path().join("recording"), "x").unwrap();
        fs::write(room.path().join("log.3"), "x").unwrap();
        let all = recordings(room.path()).unwrap();
        assert_eq!(all.len(), 11);
        assert!(all[10].ends_with("recording.11") && all[1].ends_with("recording.2"));
    }

    #[test]
    fn a_copy_keeps_contents_and_times() {
        let room = tempfile::tempdir().unwrap();
        let from = Left { root: room.path().join("from") };
        let file = from.root.join("a/b");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "c").unwrap();
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_234_567);
        File::options().write(true).open(&file).unwrap().set_modified(then).unwrap();
        let copied = from.copy(&room.path().join("to")).unwrap().root.join("a/b");
        assert_eq!(fs::read(&copied).unwrap(), b"c");
        assert_eq!(fs::metadata(&copied).unwrap().modified().unwrap(), then);
    }
}
