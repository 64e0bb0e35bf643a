//! A load generator that costs little: bytes made before, a few connections that stay open, one request in flight on each.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request as it goes over the wire, and what it asks to be signed.
pub(crate) struct Prepared {
    pub(crate) bytes: Vec<u8>,
    pub(crate) blinded: [u8; 256],
}

/// A request's blinded message and the answer's body.
pub(crate) type Answered = ([u8; 256], Vec<u8>);

/// Requests that nobody has sent yet.
pub(crate) type Queue = Arc<Mutex<VecDeque<Prepared>>>;

/// Sends requests of the queue over `connections` until `end`, and gives the answers. Those under way at the end are awaited.
pub(crate) async fn drive(
    address: SocketAddr,
    queue: &Queue,
    connections: usize,
    end: Instant,
) -> Result<Vec<Answered>> {
    let mut workers = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        workers.push(tokio::spawn(work(stream, Arc::clone(queue), end)));
    }
    let mut answered = Vec::new();
    for worker in workers {
        answered.extend(worker.await??);
    }
    Ok(answered)
}

async fn work(mut stream: TcpStream, queue: Queue, end: Instant) -> Result<Vec<Answered>> {
    let (mut answered, mut buffer) = (Vec::new(), Vec::with_capacity(4096));
    while Instant::now() < end {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(Prepared { bytes, blinded }) = next else {
            bail!("too few requests were prepared")
        };
        stream.write_all(&bytes).await?;
        buffer.clear();
        let body = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                bail!("the service closed a connection");
            }
            if let Some(body) = whole(&buffer)? {
                break body;
            }
        };
        answered.push((blinded, body));
    }
    Ok(answered)
}

/// The body of an answer that came in whole.
fn whole(answer: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = answer.split_at(end + 4);
    let head = std::str::from_utf8(head)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("the service answered: {head}{}", String::from_utf8_lossy(body));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.context("an answer without a length")??;
    Ok((body.len() >= length).then(|| body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_once_its_body_is() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(whole(answer).unwrap().unwrap(), b"abc");
        assert!((0..answer.len()).all(|end| whole(&answer[..end]).unwrap().is_none()));
        assert!(whole(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
