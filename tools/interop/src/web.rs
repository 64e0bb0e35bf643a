//! A web server that says who asked, hands out bytes and compares what it is given with them.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the address that the request came from |
//! | `GET /bytes` | the bytes |
//! | `PUT /bytes` | `equal`, or not |

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How long the server waits for a peer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running web server. Its thread ends with the process.
pub struct WebServer {
    address: SocketAddr,
}

impl WebServer {
    /// Starts the server on a free port of an address of this host.
    ///
    /// # Errors
    /// When the address isn't this host's.
    pub fn start(host: Ipv4Addr, bytes: Vec<u8>) -> Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?;
        let bytes: Arc<[u8]> = bytes.into();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bytes = Arc::clone(&bytes);
                std::thread::spawn(move || answer(&stream, &bytes));
            }
        });
        Ok(Self { address })
    }

    /// A path's URL.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// The address that a `GET /` was answered with.
///
/// # Errors
/// When that isn't an address.
pub fn told(answer: &[u8]) -> Result<IpAddr> {
    let text = std::str::from_utf8(answer)?;
    text.trim().parse().with_context(|| text.to_owned())
}

fn answer(stream: &TcpStream, bytes: &[u8]) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let body = match request.split(' ').take(2).collect::<Vec<_>>().as_slice() {
        ["GET", "/"] => stream.peer_addr()?.ip().to_string().into_bytes(),
        ["GET", "/bytes"] => bytes.to_vec(),
        ["PUT", "/bytes"] => {
            let mut given = Vec::new();
            reader.take(length).read_to_end(&mut given)?;
            if given == bytes { b"equal".to_vec() } else { b"not equal".to_vec() }
        }
        _ => return Ok(()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let mut writer = stream;
    writer.write_all(head.as_bytes())?;
    writer.write_all(&body)?;
    Ok(())
}
