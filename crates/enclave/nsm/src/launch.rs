//! Measuring a program and starting exactly what was measured.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// A program in memory that can't be changed any more, and its measurement.
pub struct Measured {
    program: OwnedFd,
    pcr0: [u8; 48],
}

/// A running program and the stream to it.
pub struct Started {
    /// The process.
    pub child: Child,
    /// What it asks its security module over.
    pub stream: UnixStream,
}

impl Measured {
    /// Reads the executable file into sealed memory and measures it: PCR0 = SHA384(0^48 || SHA384(file)).
    ///
    /// # Errors
    /// The file system's.
    pub fn load(executable: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(executable)?;
        let program = memfd_create("measured", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(program);
        file.write_all(&bytes)?;
        let program = OwnedFd::from(file);
        let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&program, all)?;
        Ok(Self { program, pcr0: nitro::extended(&bytes) })
    }

    /// The measurement.
    #[must_use]
    pub const fn pcr0(&self) -> &[u8; 48] {
        &self.pcr0
    }

    /// Starts the measured bytes with `arguments`; the module's stream is the program's standard input.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(&self, arguments: &[&std::ffi::OsStr]) -> io::Result<Started> {
        let (ours, theirs) = UnixStream::pair()?;
        // The path is resolved in the child before its close-on-exec descriptors are closed.
        let child = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()))
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        Ok(Started { child, stream: ours })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_what_runs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::copy("/bin/true", &path).unwrap();
        let measured = Measured::load(&path).unwrap();
        // The file is changed after it was measured: the measured bytes run all the same.
        std::fs::write(&path, b"not a program").unwrap();
        let mut started = measured.start(&[]).unwrap();
        assert!(started.child.wait().unwrap().success());
        assert_eq!(*measured.pcr0(), nitro::extended(&std::fs::read("/bin/true").unwrap()));
    }
}
