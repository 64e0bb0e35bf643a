//! The sources: what git knows of them, copied to where they are built.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::process::{output, raw_output};

/// Which sources these are.
#[derive(Debug, Serialize)]
pub struct Commit {
    /// The commit's name.
    pub commit: String,
    /// Whether files are other than there: then nobody else can have them.
    pub changed: bool,
}

impl Commit {
    /// That of the workspace that this runs in.
    ///
    /// # Errors
    /// When git knows no commit there.
    pub fn here() -> Result<Self> {
        Self::of(&workspace()?)
    }

    fn of(source: &Path) -> Result<Self> {
        let commit = output(git(source).args(["rev-parse", "HEAD"]))?;
        let changes = output(git(source).args(["status", "--porcelain"]))?;
        Ok(Self { commit, changed: !changes.is_empty() })
    }
}

/// The directory of the workspace that this runs in.
pub(crate) fn workspace() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    Ok(metadata.workspace_root.into_std_path_buf().canonicalize()?)
}

/// What git knows of `source`, and what it would take in; as paths from there.
pub(crate) fn list(source: &Path) -> Result<Vec<PathBuf>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = raw_output(git(source).args(arguments))?;
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let paths = names.map(|name| PathBuf::from(OsStr::from_bytes(name)));
    // Git still knows what was just deleted.
    Ok(paths.filter(|path| source.join(path).exists()).collect())
}

/// Copies these files of `source` to `to`.
pub(crate) fn copy(source: &Path, files: &[PathBuf], to: &Path) -> Result<()> {
    for file in files {
        let (from, to) = (source.join(file), to.join(file));
        std::fs::create_dir_all(to.parent().context("a file without a directory")?)?;
        std::fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
    }
    Ok(())
}

fn git(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory);
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory under git with these files, of which none is committed.
    fn under_git(files: &[(&str, &str)]) -> tempfile::TempDir {
        let room = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = room.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        output(git(room.path()).args(["init", "--quiet"])).unwrap();
        room
    }

    #[test]
    fn all_files_that_git_would_keep_are_copied_and_no_others() {
        let from = under_git(&[
            ("kept", "1"),
            ("deep/new ", "2"),
            ("made", "3"),
            ("deleted", "4"),
            (".gitignore", "made\n"),
        ]);
        output(git(from.path()).args(["add", "kept", "deleted"])).unwrap();
        std::fs::remove_file(from.path().join("deleted")).unwrap();
        let to = tempfile::tempdir().unwrap();
        copy(from.path(), &list(from.path()).unwrap(), to.path()).unwrap();
        assert_eq!(std::fs::read(to.path().join("kept")).unwrap(), b"1");
        assert_eq!(std::fs::read(to.path().join("deep/new ")).unwrap(), b"2");
        assert!(!to.path().join("made").exists());
        assert!(!to.path().join("deleted").exists());
    }

    #[test]
    fn a_commit_is_named_and_changes_to_it_are_seen() {
        let room = under_git(&[("kept", "1")]);
        assert!(Commit::of(room.path()).is_err());
        output(git(room.path()).args(["add", "kept"])).unwrap();
        let person = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
        output(git(room.path()).args(person).args(["commit", "--quiet", "-m", "All"])).unwrap();
        let commit = Commit::of(room.path()).unwrap();
        assert!(commit.commit.len() >= 40 && !commit.changed, "{commit:?}");
        std::fs::write(room.path().join("kept"), "2").unwrap();
        assert!(Commit::of(room.path()).unwrap().changed);
        std::fs::write(room.path().join("kept"), "1").unwrap();
        std::fs::write(room.path().join("new"), "").unwrap();
        assert!(Commit::of(room.path()).unwrap().changed);
    }
}
