//! Bytes to a service as no well-behaved client sends them, and what came back.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http_client::PROBLEM_JSON;

/// How long a service may take to answer or to hang up: its own limits are at 10 s for each part of a request.
const PATIENCE: Duration = Duration::from_secs(35);

/// What a service said before it hung up.
#[derive(Debug)]
pub struct Said {
    /// The status; nothing when it hung up without a word.
    pub status: Option<u16>,
    /// The head, in lower case.
    pub head: String,
    /// What came after the head.
    pub body: Vec<u8>,
}

impl Said {
    /// Whether it is a problem document with its own status in it.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        self.head.contains(&format!("content-type: {PROBLEM_JSON}"))
            && document.get("status").and_then(serde_json::Value::as_u64)
                == self.status.map(u64::from)
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at_checked(end.map_or(0, |end| end + 4)).unwrap_or_default();
        let head = String::from_utf8_lossy(head).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status, head, body: body.to_vec() }
    }
}

/// A connection that says what it is told to.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Says something; whether the other side still takes it.
    pub fn say(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Says no more.
    pub fn finish(&mut self) {
        // The other side may have hung up already.
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }

    /// What the other side says until it hangs up.
    ///
    /// # Errors
    /// When it neither answers nor hangs up in time.
    pub fn hear(&mut self) -> Result<Said> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                bail!("it hangs after {PATIENCE:?}")
            }
            // A reset after the answer, because the rest of the request was not wanted.
            _ => Ok(Said::parse(&bytes)),
        }
    }
}

/// Says all of this on one connection and hears what comes of it.
///
/// # Errors
/// When nobody listens, or it hangs.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Result<Said> {
    let mut raw = Raw::connect(address)?;
    raw.say(bytes);
    raw.hear()
}

/// A request with these headers beside the necessary ones, and this body.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: service\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// The address in a service's URL.
///
/// # Errors
/// When it has none.
pub fn address(url: &str) -> Result<SocketAddr> {
    url.trim_start_matches("http://").parse().context("not an address")
}
