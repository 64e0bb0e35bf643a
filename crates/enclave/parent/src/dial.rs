//! Opening a stream to the enclave, wherever it runs.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_vsock::{VsockAddr, VsockStream};
use wire::{HYBRID_WELCOME, StreamAddress, hybrid_greeting};

/// The longest line by which a monitor says that a port is open: `OK `, a port, a line feed.
const LONGEST_WELCOME: usize = 16;

/// Bytes to and from the enclave.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens a stream.
///
/// # Errors
/// The operating system's; `InvalidInput` for an address to listen on, `ConnectionRefused` when a monitor says no.
pub(crate) async fn dial(address: &StreamAddress) -> Result<Box<dyn Stream>> {
    Ok(match address {
        StreamAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
        StreamAddress::Vsock(vsock) => {
            let peer = vsock.peer().ok_or(ErrorKind::InvalidInput)?;
            Box::new(VsockStream::connect(VsockAddr::new(peer, vsock.port())).await?)
        }
        StreamAddress::Hybrid { socket, port } => {
            let mut stream = UnixStream::connect(socket).await?;
            stream.write_all(hybrid_greeting(*port).as_bytes()).await?;
            welcomed(&mut stream).await?;
            Box::new(stream)
        }
    })
}

/// Reads the monitor's line, and nothing of what follows it.
async fn welcomed(stream: &mut UnixStream) -> Result<()> {
    let mut line = Vec::new();
    while line.len() < LONGEST_WELCOME {
        match stream.read_u8().await? {
            b'\n' if line.starts_with(HYBRID_WELCOME.as_bytes()) => return Ok(()),
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    Err(Error::from(ErrorKind::ConnectionRefused))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// What a monitor that answers `says` makes of a stream to port 5005: what it heard, and what came after the welcome.
    async fn monitor(says: &'static [u8]) -> (Vec<u8>, Result<Vec<u8>>) {
        let room = tempfile::tempdir().unwrap();
        let socket = room.path().join("monitor");
        let listener = UnixListener::bind(&socket).unwrap();
        let hearing = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 13];
            stream.read_exact(&mut heard).await.unwrap();
            stream.write_all(says).await.unwrap();
            heard
        });
        let got = async {
            let mut stream = dial(&StreamAddress::Hybrid { socket, port: 5005 }).await?;
            let mut got = Vec::new();
            stream.read_to_end(&mut got).await?;
            Ok(got)
        };
        let got = got.await;
        (hearing.await.unwrap(), got)
    }

    #[tokio::test]
    async fn a_monitor_is_told_the_port_and_the_rest_is_the_enclaves() {
        let (heard, got) = monitor(b"OK 1073741824\nthe enclave's\n").await;
        assert_eq!(heard, b"CONNECT 5005\n");
        assert_eq!(got.unwrap(), b"the enclave's\n");
    }

    #[tokio::test]
    async fn a_monitor_that_does_not_welcome_refuses() {
        for says in [
            &b"NO\n"[..],
            b"OK\n",
            b"\n",
            b"OK 107374182410737418241073741824\n",
            b"HTTP/1.1 400 Bad Request\n",
        ] {
            let (_, got) = monitor(says).await;
            assert_eq!(got.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{says:?}");
        }
        let (_, got) = monitor(b"").await;
        assert_eq!(got.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn any_machine_is_none_to_connect_to() {
        let any = StreamAddress::parse("vsock:any:5005".as_ref()).unwrap();
        assert_eq!(dial(&any).await.err().unwrap().kind(), ErrorKind::InvalidInput);
    }
}
