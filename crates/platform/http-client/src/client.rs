//! Asking other services.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use record::{Opened, Tap};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::proxy::{ProxyError, connect};
use crate::stream::Stream;
use crate::{BaseUrl, ReceivedProblem};

/// How long a client waits and how much it takes.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// The address that connections come from; the system's choice when `None`.
    pub bind: Option<IpAddr>,
    /// The SOCKS5 proxy of an open tunnel, on loopback: connections go through it, to IP addresses on any host. Plain HTTP is
    /// readable at the tunnel's other end only.
    pub proxy: Option<SocketAddr>,
    /// For a connection to stand.
    pub connect_timeout: Duration,
    /// From one piece of the answer to the next.
    pub read_timeout: Duration,
    /// For all of it.
    pub total_timeout: Duration,
    /// Bytes of an answer's body at most.
    pub max_response: usize,
}

impl Default for ClientConfig {
    /// 3 s to connect, 10 s to read, 20 s in all, 1 MiB.
    fn default() -> Self {
        Self {
            bind: None,
            proxy: None,
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(20),
            max_response: 1024 * 1024,
        }
    }
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there, or the connection broke.
    #[error("the service can't be reached: is it running?")]
    Unreachable(#[source] io::Error),
    /// It took too long.
    #[error("the service didn't answer in time")]
    TimedOut,
    /// The answer is larger than expected.
    #[error("the answer is too large")]
    TooLarge,
    /// What came isn't HTTP.
    #[error("the answer is not HTTP: is it another service's port?")]
    NotHttp(#[source] hyper::Error),
    /// The tunnel's proxy gives no connection to there: SOCKS5's reply.
    #[error("the tunnel carries no connection to the service (SOCKS5 says {0})")]
    NoWay(u8),
    /// A plain HTTP address that isn't on this machine.
    #[error("Plain HTTP is refused off loopback")]
    PlainOffLoopback,
    /// An address that this client can't use.
    #[error("only http:// addresses on loopback can be used")]
    Unsupported,
    /// The request can't be written.
    #[error("the request can't be written as JSON or has a broken address")]
    BadRequest,
    /// The service refused or failed, and says so.
    #[error("the service answered: {0}")]
    Problem(ReceivedProblem),
    /// The answer isn't what the protocol says.
    #[error("the answer has an unexpected form")]
    Unexpected,
}

impl ClientError {
    /// Whether the same request may succeed a little later. It may have had its effect already.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut | Self::NoWay(_) => true,
            Self::Problem(problem) => matches!(problem.status, 408 | 429 | 502..=504),
            _ => false,
        }
    }
}

/// A client for HTTP/1.1 on loopback, or through a tunnel's proxy there. Each request has a connection of its own: two requests on one
/// connection would be known to come from one person, and a fresh connection is never stale.
/// It follows no redirects and keeps no cookies.
#[derive(Clone, Debug)]
pub struct HttpClient<T: Tap = ()> {
    config: ClientConfig,
    tap: T,
}

impl<T: Tap> HttpClient<T> {
    /// A client; `tap` hears the answers, `()` outside of audits.
    pub const fn new(config: ClientConfig, tap: T) -> Self {
        Self { config, tap }
    }

    /// Sends a request whose URI is absolute and returns the answer, whatever its status.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ClientError> {
        timeout(self.config.total_timeout, self.exchange(request))
            .await
            .map_err(|_| ClientError::TimedOut)?
    }

    /// `GET` of `path` at `base`.
    pub async fn get(&self, base: &BaseUrl, path: &str) -> Result<Response<Bytes>, ClientError> {
        self.send(request(Method::GET, base, path, Bytes::new())?).await
    }

    /// `POST` of `body` as JSON to `path` at `base`.
    pub async fn post_json(
        &self,
        base: &BaseUrl,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Response<Bytes>, ClientError> {
        let body = to_json(body)?;
        let mut request = request(Method::POST, base, path, body.into())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.send(request).await
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ClientError> {
        let (request, address) = in_origin_form(request, self.config.proxy.is_some())?;
        let tcp = timeout(self.config.connect_timeout, self.reach(address))
            .await
            .map_err(|_| ClientError::TimedOut)??;
        let tap = self.tap.connected(Opened::ByUs, Some(address));
        let stream = TokioIo::new(Stream::new(tcp, tap, self.config.read_timeout));
        let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
        let answer = async {
            let head = timeout(self.config.read_timeout, sender.send_request(request))
                .await
                .map_err(|_| ClientError::TimedOut)?
                .map_err(broken)?;
            let (parts, body) = head.into_parts();
            Ok(Response::from_parts(parts, self.read(body).await?))
        };
        // Driven by the task that waits for the answer, so that no other thread has to be woken, and it ends with it.
        let (mut answer, mut connection) = (pin!(answer), pin!(connection));
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // However it ended, the answer knows.
            _ = &mut connection => answer.await,
        }
    }

    /// A connection to `address`, through the proxy if there is one.
    async fn reach(&self, address: SocketAddr) -> Result<TcpStream, ClientError> {
        let Some(proxy) = self.config.proxy else {
            return self.connect(address).await.map_err(ClientError::Unreachable);
        };
        if !proxy.ip().to_canonical().is_loopback() {
            return Err(ClientError::PlainOffLoopback);
        }
        let mut tcp = self.connect(proxy).await.map_err(ClientError::Unreachable)?;
        match connect(&mut tcp, address).await {
            Ok(()) => Ok(tcp),
            Err(ProxyError::Io(error)) => Err(ClientError::Unreachable(error)),
            Err(ProxyError::Refused(code)) => Err(ClientError::NoWay(code)),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(from) = self.config.bind {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let tcp = socket.connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    async fn read(&self, mut body: Incoming) -> Result<Bytes, ClientError> {
        let limit = self.config.max_response;
        if body.size_hint().lower() > limit as u64 {
            return Err(ClientError::TooLarge);
        }
        let mut bytes = BytesMut::new();
        while let Some(frame) = timeout(self.config.read_timeout, body.frame())
            .await
            .map_err(|_| ClientError::TimedOut)?
        {
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if data.len() > limit - bytes.len() {
                return Err(ClientError::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }
}

/// A request's JSON body.
pub fn to_json(body: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(body).map_err(|_| ClientError::BadRequest)
}

/// Reads an answer: its JSON when it succeeded, [`ClientError::Problem`] when it didn't.
pub fn parse<A: DeserializeOwned>(response: &Response<Bytes>) -> Result<A, ClientError> {
    if !response.status().is_success() {
        return Err(ClientError::Problem(ReceivedProblem::from_response(response)));
    }
    // JSON is UTF-8 (RFC 8259 section 8.1), also in members that are passed over.
    let text = std::str::from_utf8(response.body()).map_err(|_| ClientError::Unexpected)?;
    serde_json::from_str(text).map_err(|_| ClientError::Unexpected)
}

fn request(
    method: Method,
    base: &BaseUrl,
    path: &str,
    body: Bytes,
) -> Result<Request<Bytes>, ClientError> {
    let uri = base.join(path).map_err(|_| ClientError::BadRequest)?;
    let request = Request::builder().method(method).uri(uri);
    let request = request.header(ACCEPT, "application/json, application/problem+json");
    request.body(body).map_err(|_| ClientError::BadRequest)
}

/// The request as it goes over the wire (path only, `Host`), and where to.
fn in_origin_form(
    request: Request<Bytes>,
    tunnelled: bool,
) -> Result<(Request<Full<Bytes>>, SocketAddr), ClientError> {
    let (mut parts, body) = request.into_parts();
    let address = address(&parts.uri, tunnelled)?;
    let host = parts.uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host).map_err(|_| ClientError::BadRequest)?;
    parts.headers.insert(HOST, host);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse().map_err(|_| ClientError::BadRequest)?;
    Ok((Request::from_parts(parts, Full::new(body)), address))
}

/// The address that a plain HTTP URL names: on loopback, unless the way there is a tunnel. No name but `localhost` is ever
/// looked up.
fn address(uri: &Uri, tunnelled: bool) -> Result<SocketAddr, ClientError> {
    if uri.scheme() != Some(&Scheme::HTTP) {
        return Err(ClientError::Unsupported);
    }
    let host = uri.host().ok_or(ClientError::Unsupported)?;
    let ip = match host {
        "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
        host => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| ClientError::PlainOffLoopback)?,
    };
    if !tunnelled && !ip.to_canonical().is_loopback() {
        return Err(ClientError::PlainOffLoopback);
    }
    Ok(SocketAddr::new(ip, uri.port_u16().unwrap_or(80)))
}

/// Broken connections and stalled writes are the network's; what can't be parsed is not HTTP.
fn broken(error: hyper::Error) -> ClientError {
    if error.is_parse() {
        return ClientError::NotHttp(error);
    }
    let kind = error.source().and_then(|source| source.downcast_ref()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::TimedOut) => ClientError::TimedOut,
        kind => {
            let kind = kind.unwrap_or(io::ErrorKind::ConnectionReset);
            ClientError::Unreachable(io::Error::new(kind, error))
        }
    }
}
