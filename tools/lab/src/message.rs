//! HTTP/1.1 messages in a stream of bytes (RFC 9112): as much as services and clients here write.

use std::io::{BufRead, Read as _};

use anyhow::{Context as _, Result, bail, ensure};

/// Heads are shorter than this, and bodies too.
const LONGEST: u64 = 4 << 20;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Request line or status line.
    pub(crate) start: String,
    /// Headers in their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The next message of a stream; `None` at its end. `bodiless` answers have a length and no body (those to `HEAD`).
    pub(crate) fn read(stream: &mut impl BufRead, bodiless: bool) -> Result<Option<Self>> {
        let Some(start) = line(stream)? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let line = line(stream)?.context("a head without an end")?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("a header without a name")?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut message = Self { start, headers, body: Vec::new() };
        ensure!(message.header("transfer-encoding").is_none(), "a body in chunks");
        let length: u64 = message.header("content-length").map_or(Ok(0), str::parse)?;
        ensure!(length <= LONGEST, "a body too long");
        if !bodiless {
            message.body.resize(usize::try_from(length)?, 0);
            stream.read_exact(&mut message.body).context("a body without an end")?;
        }
        Ok(Some(message))
    }

    /// All messages in `bytes`, as far as they are whole. The last may have been cut off: its head counts all the same.
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut all = Vec::new();
        while let Ok(Some(message)) = Self::read(&mut bytes, false) {
            all.push(message);
        }
        all
    }

    /// The message in bytes, with the length of its body as it is now.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            let value = match name.as_str() {
                "content-length" if !self.body.is_empty() => &self.body.len().to_string(),
                _ => value,
            };
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        [text.into_bytes(), self.body.clone()].concat()
    }

    /// The value of the first header called so, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A request's method, or an answer's version.
    pub(crate) fn first_word(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// A request's path without its query, or an answer's status.
    pub(crate) fn second_word(&self) -> &str {
        let target = self.start.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// Whether no message follows on the connection.
    pub(crate) fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A line without its end; `None` at the end of the stream.
fn line(stream: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    stream.take(LONGEST).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(Some(String::from_utf8(line.to_vec())?)),
        None if line.is_empty() => Ok(None),
        None => bail!("a line without an end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_on_one_connection_come_apart() {
        let one = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
        let bytes = [one.as_slice(), b"GET /c HTTP/1.1\r\nConnection: Close\r\n\r\n", b"GET /d HT"];
        let all = Message::all(&bytes.concat());
        let paths: Vec<_> = all.iter().map(Message::second_word).collect();
        assert_eq!(paths, ["/a", "/c"]);
        assert_eq!((all[0].body.as_slice(), all[0].is_last()), (b"hi".as_slice(), false));
        assert!(all[1].is_last());
        let lower =
            String::from_utf8_lossy(one).replace("Host", "host").replace("Content-L", "content-l");
        assert_eq!(all[0].write(), lower.into_bytes());
    }

    #[test]
    fn a_body_that_grew_has_its_new_length() {
        let bytes = b"HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\n{}";
        let mut message = Message::all(bytes).swap_remove(0);
        message.body = b"{\"a\":1}".to_vec();
        assert_eq!(Message::all(&message.write())[0].body, b"{\"a\":1}");
    }
}
