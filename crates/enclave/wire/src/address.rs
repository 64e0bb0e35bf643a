//! Where a stream to or from the enclave is: a Unix socket, or vsock (`man 7 vsock`).
//!
//! ```text
//! vsock:CID:PORT            vsock; CID is a number, or `any` to listen
//! hybrid-vsock:PATH:PORT    vsock behind a Unix socket, as user-space monitors of virtual machines serve it
//! anything else             the path of a Unix socket
//! ```

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

/// The port that stands for "any".
const ANY_PORT: u32 = u32::MAX;
/// The CID that stands for "any".
const ANY_CID: u32 = u32::MAX;

/// One end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamAddress {
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A port of a machine.
    Vsock(VsockAddress),
    /// A port of the virtual machine whose monitor listens on this Unix socket; see [`hybrid_greeting`].
    Hybrid {
        /// The monitor's socket.
        socket: PathBuf,
        /// The port inside.
        port: u32,
    },
}

/// A port of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VsockAddress {
    cid: Option<u32>,
    port: u32,
}

/// The text names no address.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "give the path of a Unix socket, vsock:CID:PORT (CID a number or `any`) or hybrid-vsock:PATH:PORT"
)]
pub struct AddressError;

impl StreamAddress {
    /// Reads an address; a path that begins like another form is written `./vsock:...`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &OsStr) -> Result<Self, AddressError> {
        let scheme = |scheme: &str| text.as_encoded_bytes().starts_with(scheme.as_bytes());
        if !scheme("vsock:") && !scheme("hybrid-vsock:") {
            return if text.is_empty() { Err(AddressError) } else { Ok(Self::Unix(text.into())) };
        }
        let text = text.to_str().ok_or(AddressError)?;
        if let Some(rest) = text.strip_prefix("vsock:") {
            let (cid, port) = rest.split_once(':').ok_or(AddressError)?;
            let cid = if cid == "any" { None } else { Some(number(cid, ANY_CID)?) };
            return Ok(Self::Vsock(VsockAddress { cid, port: number(port, ANY_PORT)? }));
        }
        let rest = text.strip_prefix("hybrid-vsock:").ok_or(AddressError)?;
        let (socket, port) = rest.rsplit_once(':').ok_or(AddressError)?;
        if socket.is_empty() {
            return Err(AddressError);
        }
        Ok(Self::Hybrid { socket: socket.into(), port: number(port, ANY_PORT)? })
    }
}

impl VsockAddress {
    /// The machine to connect to; none for `any`, which is for listening.
    #[must_use]
    pub const fn peer(self) -> Option<u32> {
        self.cid
    }

    /// The CID to listen on; VMADDR_CID_ANY for `any`.
    #[must_use]
    pub fn own(self) -> u32 {
        self.cid.unwrap_or(ANY_CID)
    }

    /// The port.
    #[must_use]
    pub const fn port(self) -> u32 {
        self.port
    }
}

impl fmt::Display for StreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Vsock(VsockAddress { cid: Some(cid), port }) => write!(f, "vsock:{cid}:{port}"),
            Self::Vsock(VsockAddress { cid: None, port }) => write!(f, "vsock:any:{port}"),
            Self::Hybrid { socket, port } => write!(f, "hybrid-vsock:{}:{port}", socket.display()),
        }
    }
}

/// What whoever connects to a monitor's socket says first: `CONNECT PORT`, and a line feed. The monitor answers with a line that
/// begins with [`HYBRID_WELCOME`]; from then on the stream is the port's.
#[must_use]
pub fn hybrid_greeting(port: u32) -> String {
    format!("CONNECT {port}\n")
}

/// How the monitor's answer begins; the host's own port and a line feed follow.
pub const HYBRID_WELCOME: &str = "OK ";

/// A decimal number without sign or leading zeros that isn't the reserved one.
fn number(digits: &str, reserved: u32) -> Result<u32, AddressError> {
    let number: u32 = digits.parse().map_err(|_| AddressError)?;
    let one_way_to_write_it = number.to_string() == digits;
    (one_way_to_write_it && number != reserved).then_some(number).ok_or(AddressError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StreamAddress, AddressError> {
        StreamAddress::parse(OsStr::new(text))
    }

    fn vsock(cid: Option<u32>, port: u32) -> StreamAddress {
        StreamAddress::Vsock(VsockAddress { cid, port })
    }

    #[test]
    fn each_form_is_read_and_written_the_same() {
        let hybrid = |socket: &str, port| StreamAddress::Hybrid { socket: socket.into(), port };
        for (text, address) in [
            ("enclave.sock", StreamAddress::Unix("enclave.sock".into())),
            ("/run/a:b:5", StreamAddress::Unix("/run/a:b:5".into())),
            ("./vsock:3:5", StreamAddress::Unix("./vsock:3:5".into())),
            ("vsocket", StreamAddress::Unix("vsocket".into())),
            ("vsock:16:5005", vsock(Some(16), 5005)),
            ("vsock:0:0", vsock(Some(0), 0)),
            ("vsock:any:5005", vsock(None, 5005)),
            ("vsock:4294967294:4294967294", vsock(Some(u32::MAX - 1), u32::MAX - 1)),
            ("hybrid-vsock:/run/vm:5005", hybrid("/run/vm", 5005)),
            ("hybrid-vsock:/run/a:b:7", hybrid("/run/a:b", 7)),
        ] {
            assert_eq!(parse(text), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_begins_like_a_form_and_is_not_is_no_path() {
        for text in [
            "",
            "vsock:",
            "vsock:3",
            "vsock:3:",
            "vsock::5",
            "vsock:3:5:6",
            "vsock:-1:5",
            "vsock:+3:5",
            "vsock:03:5",
            "vsock: 3:5",
            "vsock:host:5",
            "vsock:4294967295:5",
            "vsock:4294967296:5",
            "vsock:3:4294967295",
            "hybrid-vsock:",
            "hybrid-vsock:/run/vm",
            "hybrid-vsock::5",
            "hybrid-vsock:/run/vm:any",
        ] {
            assert_eq!(parse(text), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn a_path_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = OsStr::from_bytes(b"/run/\xff");
        assert_eq!(StreamAddress::parse(path), Ok(StreamAddress::Unix(path.into())));
        assert_eq!(StreamAddress::parse(OsStr::from_bytes(b"vsock:\xff:1")), Err(AddressError));
    }

    #[test]
    fn any_is_for_listening() {
        let StreamAddress::Vsock(any) = parse("vsock:any:5").unwrap() else { panic!() };
        assert_eq!((any.peer(), any.own(), any.port()), (None, u32::MAX, 5));
        let StreamAddress::Vsock(three) = parse("vsock:3:5").unwrap() else { panic!() };
        assert_eq!((three.peer(), three.own()), (Some(3), 3));
    }
}
