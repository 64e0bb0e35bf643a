//! A small web server that tells everybody their own address, and asking it through a proxy.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::http;

/// How long the server waits for a request, and the client for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running web server. Its thread ends with the process.
pub(crate) struct WebServer {
    address: SocketAddr,
}

impl WebServer {
    /// Starts the server on a free port of the loopback address.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(&stream));
            }
        });
        Ok(Self { address })
    }

    /// Where the server is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The address that the server at `web` sees when it is asked through the SOCKS5 proxy at `proxy`, by number.
pub(crate) fn seen_through_socks(web: SocketAddr, proxy: SocketAddr) -> Result<IpAddr> {
    let IpAddr::V4(host) = web.ip() else { anyhow::bail!("not an IPv4 address") };
    let mut stream = connect(proxy)?;
    stream.write_all(&[5, 1, 0])?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen)?;
    ensure!(chosen == [5, 0], "the proxy wants a password");
    let mut request = vec![5, 1, 0, 1];
    request.extend(host.octets());
    request.extend(web.port().to_be_bytes());
    stream.write_all(&request)?;
    let mut reply = [0; 10];
    stream.read_exact(&mut reply)?;
    let [_, code, ..] = reply;
    ensure!(code == 0, "the proxy refused with code {code}");
    told(stream)
}

/// The same through HTTP CONNECT, and by a name that the exit looks up.
pub(crate) fn seen_through_connect(web: SocketAddr, proxy: SocketAddr) -> Result<IpAddr> {
    let stream = connect(proxy)?;
    let target = format!("localhost:{}", web.port());
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    (&stream).write_all(request.as_bytes())?;
    let mut reader = BufReader::with_capacity(1, &stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    ensure!(line.contains(" 200 "), "the proxy refused: {}", line.trim());
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    told(stream)
}

fn connect(proxy: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&proxy, PATIENCE).context("the proxy isn't there")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What the server tells over a stream to it.
fn told(stream: TcpStream) -> Result<IpAddr> {
    let text = String::from_utf8(http::exchange(stream, "GET", "echo", "/")?.body)?;
    text.trim().parse().with_context(|| format!("the web server answered {text:?}"))
}

/// One request, one answer: the peer's address. Whoever sends nonsense gets nothing.
fn answer(stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let peer = stream.peer_addr()?.ip();
    let mut lines = BufReader::new(stream.take(8192)).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let body = format!("{peer}\n");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all((head + &body).as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_told_their_own_address() {
        let server = WebServer::start().unwrap();
        assert_eq!(told(connect(server.address).unwrap()).unwrap(), server.address.ip());
    }
}
