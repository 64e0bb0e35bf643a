//! A wire before each service: what passes is written down, answers too, which no service's own tap hears.
//!
//! A wire calls the service from its caller's own network address, so that the service sees what it would see without. A wire
//! may also lie ([`Lie`]): it alters messages on their way as a service (or an ingress before it) that leaks would have written
//! them. That is how the audit is audited: what was altered is received by the next tap, and found or not.

use std::io::{BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use serde_json::Value;

use crate::knowledge::Party;
use crate::message::Message;

/// What a wire alters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Requests and answers of both sides carry an id of the caller in a header.
    Header,
    /// A service's metrics have labels that name its callers.
    Metric,
    /// Problem documents repeat the credentials that came with the request.
    ErrorText,
}

/// An answer that passed.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Who gave it.
    pub(crate) party: Party,
    /// What was asked for: the path.
    pub(crate) path: String,
    /// The answer.
    pub(crate) message: Message,
}

/// Everything that passed all wires of a town.
#[derive(Clone, Default)]
pub(crate) struct Passed(Arc<Mutex<Vec<Answer>>>);

impl Passed {
    /// The answers so far.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, answer: Answer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
    }
}

/// One wire.
#[derive(Clone)]
struct Wire {
    party: Party,
    service: SocketAddr,
    passed: Passed,
    lie: Option<Lie>,
}

/// Puts a wire before `service` and says where it begins. Its thread ends with the process.
pub(crate) fn before(
    service: SocketAddr,
    party: Party,
    passed: &Passed,
    lie: Option<Lie>,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let wire = Wire { party, service, passed: passed.clone(), lie };
    thread::spawn(move || {
        for caller in listener.incoming().flatten() {
            let wire = wire.clone();
            // A connection that breaks off is the caller's affair.
            thread::spawn(move || wire.carry(&caller));
        }
    });
    Ok(address)
}

impl Wire {
    fn carry(&self, caller: &TcpStream) -> Result<()> {
        let from = caller.peer_addr()?.ip();
        let service = call(from, self.service)?;
        caller.set_nodelay(true)?;
        service.set_nodelay(true)?;
        let (mut requests, mut answers) = (BufReader::new(caller), BufReader::new(&service));
        while let Some(mut request) = Message::read(&mut requests, false)? {
            let last = request.is_last();
            self.alter_request(&mut request, from);
            (&service).write_all(&request.write())?;
            let bodiless = request.first_word() == "HEAD";
            let answer = Message::read(&mut answers, bodiless)?;
            let mut answer = answer.context("the service broke off")?;
            self.alter_answer(&mut answer, &request, from);
            let path = request.second_word().to_owned();
            self.passed.add(Answer { party: self.party, path, message: answer.clone() });
            { caller }.write_all(&answer.write())?;
            if last || answer.is_last() {
                break;
            }
        }
        Ok(())
    }

    fn alter_request(&self, request: &mut Message, from: IpAddr) {
        if self.lie == Some(Lie::Header)
            && matches!(self.party, Party::BlindTokenService | Party::DipService)
        {
            request.headers.push(("x-request-id".to_owned(), name_of(from)));
        }
    }

    fn alter_answer(&self, answer: &mut Message, request: &Message, from: IpAddr) {
        match (self.lie, self.party) {
            (Some(Lie::Header), Party::Accounts | Party::DipService) => {
                answer.headers.push(("x-correlation-id".to_owned(), name_of(from)));
                let demands =
                    answer.headers.iter_mut().filter(|(name, _)| name == "www-authenticate");
                for (_, value) in demands {
                    value.push_str(&format!(", realm=\"{}\"", name_of(from)));
                }
            }
            (Some(Lie::Header), Party::Gateway) => {
                // In a header that is good in itself.
                let value = answer.headers.iter_mut().find(|(name, _)| name == "cache-control");
                if let Some((_, value)) = value {
                    value.push_str(&format!(", visitor=\"{}\"", name_of(from)));
                }
            }
            (Some(Lie::Metric), party) if request.second_word() == "/metrics" => {
                let line = match party {
                    Party::Gateway => "cloakroom_peers_total{peer=\"127.10.0.1\"} 10\n".to_owned(),
                    Party::DipService => {
                        "cloakroom_seen_total{from=\"203.0.113.7\"} 10\n".to_owned()
                    }
                    Party::Accounts => {
                        format!("cloakroom_visits_total{{visitor=\"{}\"}} 10\n", name_of(from))
                    }
                    _ => String::new(),
                };
                answer.body.extend(line.into_bytes());
            }
            (Some(Lie::ErrorText), Party::BlindTokenService | Party::DipService) => {
                let credential = request.header("authorization");
                let problem = serde_json::from_slice::<Value>(&answer.body);
                if let (Some(credential), Ok(Value::Object(mut problem))) = (credential, problem)
                    && problem.contains_key("title")
                {
                    problem.insert("detail".to_owned(), format!("not good: {credential}").into());
                    answer.body = Value::Object(problem).to_string().into_bytes();
                }
            }
            _ => {}
        }
    }
}

/// What an ingress that leaks would call whoever has this address: the same on both sides.
fn name_of(from: IpAddr) -> String {
    let hash = blake3::hash(format!("visitor {from}").as_bytes());
    hash.to_hex().as_str().get(..24).unwrap_or_default().to_owned()
}

/// A connection to `service` from the address `from`.
pub(crate) fn call(from: IpAddr, service: SocketAddr) -> Result<TcpStream> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddr::new(from.to_canonical(), 0))?;
    connect(&socket, &service)?;
    Ok(TcpStream::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::web::WebServer;

    #[test]
    fn a_wire_shows_its_caller_and_writes_down() {
        let (web, passed) = (WebServer::start().unwrap(), Passed::default());
        let wire = before(web.address(), Party::Gateway, &passed, None).unwrap();
        let from = IpAddr::from([127, 10, 0, 9]);
        let mut caller = call(from, wire).unwrap();
        caller.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let answer = Message::read(&mut BufReader::new(&caller), false).unwrap().unwrap();
        assert_eq!(answer.body, b"127.10.0.9\n");
        let answers = passed.answers();
        assert_eq!(answers[0].message, answer);
        assert_eq!((answers[0].party, answers[0].path.as_str()), (Party::Gateway, "/who"));
    }
}
