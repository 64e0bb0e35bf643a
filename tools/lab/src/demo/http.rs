//! As much HTTP as it takes to ask whether a service is up, and what it shows.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

const PATIENCE: Duration = Duration::from_secs(5);

/// `GET` of `path`: the status and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(u16, Vec<u8>)> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    exchange(stream, &format!("{address}"), path)
}

/// `GET` of `path` over an open stream.
pub(crate) fn exchange(mut stream: TcpStream, host: &str, path: &str) -> Result<(u16, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").context("no HTTP answer")?;
    let (head, body) = answer.split_at_checked(end + 4).context("no HTTP answer")?;
    let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    let status = status.and_then(|digits| digits.parse().ok()).context("no HTTP status")?;
    Ok((status, body.to_vec()))
}
