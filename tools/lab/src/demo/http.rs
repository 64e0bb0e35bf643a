//! As much HTTP as it takes to ask whether a service is up, and what it shows.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

const PATIENCE: Duration = Duration::from_secs(5);

/// What a server answered.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of the first header called so.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// `GET` of `path`: the status and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(u16, Vec<u8>)> {
    let answer = ask(address, "GET", path)?;
    Ok((answer.status, answer.body))
}

/// A request without a body.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    exchange(stream, method, &format!("{address}"), path)
}

/// A request without a body, over an open stream.
pub(crate) fn exchange(
    mut stream: TcpStream,
    method: &str,
    host: &str,
    path: &str,
) -> Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").context("no HTTP answer")?;
    let (head, body) = answer.split_at_checked(end + 4).context("no HTTP answer")?;
    let head = String::from_utf8(head.to_vec()).context("no HTTP answer")?;
    let status =
        head.get(9..12).and_then(|digits| digits.parse().ok()).context("no HTTP status")?;
    Ok(Answer { status, head, body: body.to_vec() })
}
