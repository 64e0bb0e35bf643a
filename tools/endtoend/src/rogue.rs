//! A service that lies: a small HTTP server whose answers a test makes up.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use http_client::{PROBLEM_JSON, PROBLEM_TYPES};
use serde_json::{Value, json};

use crate::services::{self, Answer};

const PATIENCE: Duration = Duration::from_secs(20);

/// A request that it got.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// What the service at `base` answers to this request.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn passed_on(&self, base: &str) -> Result<Told> {
        let kept = |(name, _): &&(String, String)| {
            !["host", "connection", "content-length"].contains(&name.as_str())
        };
        let headers: Vec<_> = self.headers.iter().filter(kept).collect();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let method = Method::from_bytes(self.method.as_bytes())?;
        let Answer { status, headers, body, .. } =
            services::ask(method, base, &self.path, &headers, self.body.clone())?;
        let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            Some((name.to_string(), value.to_str().ok()?.to_owned()))
        };
        let headers = headers.iter().filter_map(text);
        let headers = headers.filter(|(name, _)| name != "content-length" && name != "connection");
        Ok(Told { status, headers: headers.collect(), body: body.to_vec() })
    }
}

/// What it answers.
#[derive(Clone, Debug)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Told {
    /// A success.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        let kind = ("content-type".to_owned(), "application/json".to_owned());
        Self { status: 200, headers: vec![kind], body: value.to_string().into_bytes() }
    }

    /// A problem document.
    #[must_use]
    pub fn problem(status: u16, slug: &str) -> Self {
        let document = json!({
            "type": format!("{PROBLEM_TYPES}{slug}"), "title": "So it says", "status": status,
        });
        let kind = ("content-type".to_owned(), PROBLEM_JSON.to_owned());
        Self { status, headers: vec![kind], body: document.to_string().into_bytes() }
    }
}

/// A running server. It ends with the process.
pub struct Rogue {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Rogue {
    /// Starts one whose answers `answer` makes up; where that fails, it hangs up.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(answer: impl Fn(&Asked) -> Result<Told> + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || serve(&stream, &*answer, &seen));
            }
        });
        Ok(Self { address, asked })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    stream: &TcpStream,
    answer: &dyn Fn(&Asked) -> Result<Told>,
    seen: &Mutex<Vec<Asked>>,
) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let asked = read(stream)?;
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let Told { status, headers, body } = answer(&asked)?;
    let mut head = format!("HTTP/1.1 {status} So\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut stream = stream;
    stream.write_all(&[head.as_bytes(), &body].concat())?;
    Ok(())
}

fn read(stream: &TcpStream) -> Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let method = words.next().context("no method")?.to_owned();
    let path = words.next().context("no path")?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, value)| value.parse::<usize>())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Asked { method, path, headers, body })
}
