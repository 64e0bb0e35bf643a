//! Streams to and from the enclave: a Unix socket on a developer's machine, vsock in a virtual machine.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use vsock::{VsockListener, VsockStream};
use wire::{StreamAddress, VsockAddress};

/// Where streams come in.
pub enum Listener {
    /// On a path.
    Unix(UnixListener),
    /// On a port of this machine.
    Vsock(VsockListener),
}

/// A stream.
pub enum Stream {
    /// Within this machine.
    Unix(UnixStream),
    /// Between a virtual machine and its host.
    Vsock(VsockStream),
}

impl Listener {
    /// Listens at this address. A Unix socket is for this user alone, and one that a former run left is replaced. Of vsock's peers
    /// nothing is asked: on Nitro the hypervisor lets nobody but the parent instance connect.
    ///
    /// # Errors
    /// The operating system's; `InvalidInput` for another machine's sockets.
    pub fn bind(address: &StreamAddress) -> io::Result<Self> {
        match address {
            StreamAddress::Unix(path) => bind_privately(path).map(Self::Unix),
            StreamAddress::Vsock(vsock) => {
                VsockListener::bind_with_cid_port(vsock.own(), vsock.port()).map(Self::Vsock)
            }
            StreamAddress::Hybrid { .. } => Err(unfit("the monitor's socket is the host's")),
        }
    }

    /// The next stream.
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Self::Vsock(listener) => listener.accept().map(|(stream, _)| Stream::Vsock(stream)),
        }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Stream {
    /// Connects to this address.
    ///
    /// # Errors
    /// The operating system's; `InvalidInput` for an address to listen on.
    pub fn connect(address: &StreamAddress) -> io::Result<Self> {
        match address {
            StreamAddress::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            StreamAddress::Vsock(vsock) => {
                let peer = peer(*vsock)?;
                VsockStream::connect_with_cid_port(peer, vsock.port()).map(Self::Vsock)
            }
            StreamAddress::Hybrid { .. } => Err(unfit("the monitor's socket is the host's")),
        }
    }

    /// The stream that a descriptor from the process which started us is.
    #[must_use]
    pub fn inherited(descriptor: OwnedFd) -> Self {
        Self::Unix(UnixStream::from(descriptor))
    }

    pub(crate) fn set_read_timeout(&self, patience: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(patience),
            Self::Vsock(stream) => stream.set_read_timeout(patience),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(into),
            Self::Vsock(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Vsock(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.flush(),
            Self::Vsock(stream) => stream.flush(),
        }
    }
}

fn bind_privately(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn peer(address: VsockAddress) -> io::Result<u32> {
    address.peer().ok_or_else(|| unfit("`any` is to listen on"))
}

fn unfit(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn addresses_that_do_not_fit_are_not_tried() {
        let parse = |text: &str| StreamAddress::parse(text.as_ref()).unwrap();
        let unfit = Some(io::ErrorKind::InvalidInput);
        assert_eq!(kind(Stream::connect(&parse("vsock:any:5005"))), unfit);
        assert_eq!(kind(Stream::connect(&parse("hybrid-vsock:/nowhere:5005"))), unfit);
        assert_eq!(kind(Listener::bind(&parse("hybrid-vsock:/nowhere:5005"))), unfit);
        let missing = Some(io::ErrorKind::NotFound);
        assert_eq!(kind(Stream::connect(&parse("/nowhere/socket"))), missing);
    }

    #[test]
    fn a_unix_socket_of_a_former_run_is_replaced_and_a_file_is_not() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("socket");
        let address = StreamAddress::Unix(path.clone());
        drop(Listener::bind(&address).unwrap());
        assert!(path.exists());
        let listener = Listener::bind(&address).unwrap();
        let mut ours = Stream::connect(&address).unwrap();
        let mut theirs = listener.accept().unwrap();
        ours.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        theirs.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");

        let file = room.path().join("file");
        std::fs::write(&file, b"kept").unwrap();
        assert!(Listener::bind(&StreamAddress::Unix(file.clone())).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }
}
