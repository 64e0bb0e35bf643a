//! Through a SOCKS5 proxy (RFC 1928): the one of an open tunnel.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;

/// Why a proxy gives no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// The connection to the proxy broke, or something else listens there.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The proxy says no (RFC 1928 section 6).
    #[error("the proxy answered {0}")]
    Refused(u8),
}

/// Has the proxy at the other end of `stream` connect it to `target`. Every answer is read to its last byte and no further.
pub(crate) async fn connect(stream: &mut TcpStream, target: SocketAddr) -> Result<(), ProxyError> {
    let mut request = vec![VERSION, 1, NO_AUTHENTICATION, VERSION, CONNECT, 0];
    match target.ip() {
        IpAddr::V4(ip) => request.extend([&[1][..], &ip.octets()].concat()),
        IpAddr::V6(ip) => request.extend([&[4][..], &ip.octets()].concat()),
    }
    request.extend(target.port().to_be_bytes());
    // The request goes with the greeting: a proxy without a password has nothing to ask in between.
    stream.write_all(&request).await?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await?;
    if chosen != [VERSION, NO_AUTHENTICATION] {
        return Err(no_proxy());
    }
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await?;
    let [VERSION, code, 0, kind] = reply else { return Err(no_proxy()) };
    if code != 0 {
        return Err(ProxyError::Refused(code));
    }
    // From which address the other end sees us: nothing that matters here.
    let length = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await?),
        _ => return Err(no_proxy()),
    };
    let mut address = vec![0; length + 2];
    stream.read_exact(&mut address).await?;
    Ok(())
}

fn no_proxy() -> ProxyError {
    io::Error::new(io::ErrorKind::InvalidData, "not a SOCKS5 proxy without a password").into()
}
