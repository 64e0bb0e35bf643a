//! What the ramdisks say: which program to become, and which modules to load first.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

/// A program and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    program: String,
    arguments: Vec<String>,
}

impl Command {
    /// Reads the file: the program's path, then an argument a line, each line ended by a line feed.
    ///
    /// # Errors
    /// The file system's; `InvalidData` for another sort of file.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        Self::parse(&std::fs::read_to_string(file)?).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it is no path and lines of arguments")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n').map(str::to_owned);
        let program = lines.next().filter(|program| program.starts_with('/'))?;
        Some(Self { program, arguments: lines.collect() })
    }

    /// Becomes the program; comes back with the reason only when it can't, and without an environment.
    pub(crate) fn become_it(&self) -> io::Error {
        std::process::Command::new(&self.program).args(&self.arguments).env_clear().exec()
    }
}

/// The files of a directory in the order of their names; none when there is no directory.
///
/// # Errors
/// The file system's.
pub(crate) fn in_order(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_path_and_lines() {
        let command = Command::parse("/enclave\n--listen\nvsock:any:5005\n\n").unwrap();
        assert_eq!(command.program, "/enclave");
        assert_eq!(command.arguments, ["--listen", "vsock:any:5005", ""]);
        for text in ["", "\n", "enclave\n", "/enclave", "/enclave\n--listen"] {
            assert_eq!(Command::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn modules_are_loaded_in_the_order_of_their_names() {
        let room = tempfile::tempdir().unwrap();
        for name in ["02-b.ko", "10-a.ko", "01-c.ko.xz"] {
            std::fs::write(room.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = in_order(room.path())
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["01-c.ko.xz", "02-b.ko", "10-a.ko"]);
        assert_eq!(in_order(&room.path().join("none")).unwrap(), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn what_cannot_be_run_is_said() {
        let command = Command::parse("/nowhere/enclave\n").unwrap();
        assert_eq!(command.become_it().kind(), io::ErrorKind::NotFound);
    }
}
