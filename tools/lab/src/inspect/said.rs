//! What services say and are told: headers, metrics, problem documents, logs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use record::{Opened, Recording};

use super::{Facts, Kind, Violation};
use crate::disk;
use crate::knowledge::Party;
use crate::message::Message;

/// Everything that one party was told and said.
pub(crate) struct Said {
    pub(crate) party: Party,
    /// What it received, by its tap.
    pub(crate) recordings: Vec<PathBuf>,
    /// What it answered, by the wire before it: path and answer.
    pub(crate) answers: Vec<(String, Message)>,
    /// Its log, and what its process says when it fails.
    pub(crate) logs: Vec<PathBuf>,
}

/// What a header may say.
enum Value {
    /// One of these.
    One(&'static [&'static str]),
    /// A number.
    Number,
    /// Who or what is allowed: what it tells is a matter of the knowledge table.
    Credential,
    /// Where the service is.
    Host,
    /// Which operator acts, where nobody gave a label: the system's user.
    Operator,
    /// A date (RFC 9110 section 5.6.7): of the answer, so that everybody knows it anyway.
    Date,
}

const ACCEPTED: &[&str] =
    &["application/json, application/problem+json", "application/private-token-response"];
const TYPES: &[&str] = &[
    "application/json",
    "application/private-token-issuer-directory",
    "application/private-token-request",
    "application/private-token-response",
    "application/problem+json",
    "text/plain; charset=utf-8",
    "text/plain; version=0.0.4",
];

/// Every header of requests and answers.
const HEADERS: [(&str, Value); 13] = [
    ("accept", Value::One(ACCEPTED)),
    ("access-control-allow-origin", Value::One(&["*"])),
    ("access-control-expose-headers", Value::One(&["*"])),
    ("allow", Value::One(&["GET,HEAD", "POST"])),
    ("authorization", Value::Credential),
    ("cache-control", Value::One(&["no-store"])),
    ("cloakroom-issuance-receipt", Value::Credential),
    ("cloakroom-operator", Value::Operator),
    ("connection", Value::One(&["close", "keep-alive"])),
    ("content-length", Value::Number),
    ("content-type", Value::One(TYPES)),
    ("date", Value::Date),
    ("host", Value::Host),
];

/// More headers, of refusals. What a caller is asked for must be the same for all callers.
const REFUSALS: [(&str, Value); 2] = [("retry-after", Value::Number), (DEMAND, Value::Credential)];
const DEMAND: &str = "www-authenticate";

/// Looks through what all parties said and were told. Gives how many headers it saw, and what shouldn't be.
///
/// # Errors
/// When something can't be read.
pub(crate) fn said(all: &[Said], facts: &Facts<'_>) -> Result<(usize, Vec<Violation>)> {
    let mut violations = Vec::new();
    let mut odd = Vec::new();
    let mut headers = 0;
    for one in all {
        violations.extend(demands(one));
        for message in one.heard()?.iter().chain(one.answers.iter().map(|(_, answer)| answer)) {
            headers += message.headers.len();
            odd.extend(strange(message).map(|(name, value)| (one.party, name, value)));
        }
        for (path, answer) in &one.answers {
            if path == "/metrics" {
                metrics(one.party, &answer.body, facts, &mut violations);
            }
            problem(one.party, path, answer, facts, &mut violations);
        }
        for path in &one.logs {
            log(one.party, path, facts, &mut violations)?;
        }
    }
    violations.extend(odd_headers(&odd));
    violations.sort();
    violations.dedup();
    Ok((headers, violations))
}

impl Said {
    /// The messages that came in.
    fn heard(&self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        for path in &self.recordings {
            let recording = Recording::load(path)
                .with_context(|| format!("reading the recording {}", path.display()))?;
            let conversations = recording.conversations.values();
            // The enclave and its parent speak in frames.
            let http = conversations.filter(|one| one.peer.is_some() || one.opened == Opened::ByUs);
            messages.extend(http.flat_map(|one| Message::all(&one.received)));
        }
        Ok(messages)
    }
}

/// A demand that isn't the same for whoever asks for the same.
fn demands(said: &Said) -> Vec<Violation> {
    let mut demands: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (path, answer) in &said.answers {
        let values = answer.headers.iter().filter(|(name, _)| name == DEMAND);
        let seen = demands.entry((path, answer.second_word())).or_default();
        seen.extend(values.map(|(_, value)| value.as_str()));
    }
    let differs = |values: &Vec<&str>| values.iter().any(|value| Some(value) != values.first());
    let differing = demands.into_iter().filter(|(_, values)| differs(values));
    differing
        .map(|((path, _), _)| {
            let what = format!("differs from caller to caller at {}", shape(path));
            Violation::new(Kind::Header, said.party, DEMAND, what)
        })
        .collect()
}

/// Headers that aren't known, or say what they don't otherwise.
fn strange(message: &Message) -> impl Iterator<Item = (String, String)> {
    message.headers.iter().filter(|(name, value)| !is_known(name, value)).cloned()
}

fn is_known(name: &str, value: &str) -> bool {
    let mut known = HEADERS.iter().chain(&REFUSALS);
    let Some((_, rule)) = known.find(|(known, _)| *known == name) else { return false };
    match rule {
        Value::One(values) => values.contains(&value),
        Value::Number => value.len() < 8 && value.bytes().all(|byte| byte.is_ascii_digit()),
        Value::Credential => true,
        Value::Host => value.parse::<std::net::SocketAddr>().is_ok(),
        Value::Operator => value.strip_prefix("uid-").is_some_and(|uid| uid.parse::<u32>().is_ok()),
        Value::Date => value.len() == 29 && value.ends_with(" GMT"),
    }
}

/// One violation for each party and name, which says whether its values came to others as well.
fn odd_headers(odd: &[(Party, String, String)]) -> Vec<Violation> {
    let mut parties: BTreeMap<&str, Vec<Party>> = BTreeMap::new();
    for (party, _, value) in odd {
        parties.entry(value).or_default().push(*party);
    }
    let violation = |(party, name, value): &(Party, String, String)| {
        let others = parties.get(value.as_str()).into_iter().flatten();
        let mut others: Vec<_> =
            others.filter(|other| *other != party).map(|other| other.name()).collect();
        others.sort_unstable();
        others.dedup();
        let what = match others.as_slice() {
            [] => format!("a name or value that isn't known: {value:?}"),
            others => format!("the same unknown value passes {}, too", others.join(", ")),
        };
        Violation::new(Kind::Header, *party, name.as_str(), what)
    };
    odd.iter().map(violation).collect()
}

/// Labels are words of the program: short, in small letters, without what could be an id or address.
fn metrics(party: Party, text: &[u8], facts: &Facts<'_>, violations: &mut Vec<Violation>) {
    let text = String::from_utf8_lossy(text);
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let mut add =
            |what: String| violations.push(Violation::new(Kind::Metric, party, name, what));
        if let Some(held) = facts.named(line.as_bytes()) {
            add(format!("holds {held}"));
        }
        let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
        // Every second piece between quotation marks is a value.
        let values = labels.map_or("", |(labels, _)| labels).split('"').skip(1).step_by(2);
        for value in values.filter(|value| !is_word(value)) {
            add(format!("the label {value:?} is no word of the program's"));
        }
    }
}

/// A route, a kind, a status, a histogram's bound: no more than three digits in a row, and in all four.
fn is_word(value: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-/{}.+".contains(&byte);
    let method = value.len() < 8 && value.bytes().all(|byte| byte.is_ascii_uppercase());
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    method || value == "+Inf" || (value.len() <= 48 && digits <= 4 && value.bytes().all(plain))
}

fn problem(
    party: Party,
    path: &str,
    answer: &Message,
    facts: &Facts<'_>,
    violations: &mut Vec<Violation>,
) {
    let status = answer.second_word();
    let refusal = status.starts_with('4') || status.starts_with('5');
    if refusal && let Some(held) = facts.named(&answer.body) {
        let place = format!("{status} at {}", shape(path));
        violations.push(Violation::new(Kind::ErrorText, party, place, format!("holds {held}")));
    }
}

/// A path with long segments (ids) as an asterisk.
fn shape(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.len() < 24 { segment } else { "*" });
    segments.collect::<Vec<_>>().join("/")
}

fn log(
    party: Party,
    path: &std::path::Path,
    facts: &Facts<'_>,
    violations: &mut Vec<Violation>,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().display().to_string();
    for (index, line) in disk::read(path)?.split(|&byte| byte == b'\n').enumerate() {
        if let Some(held) = facts.named(line) {
            let place = format!("{name}, line {}", index + 1);
            violations.push(Violation::new(Kind::Log, party, place, format!("holds {held}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_known_by_name_and_by_value() {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-length", "77"),
            ("date", "Sat, 21 Nov 2026 03:06:45 GMT"),
            ("host", "127.0.0.1:3001"),
        ] {
            assert!(is_known(name, value), "{name}");
        }
        for (name, value) in [
            ("x-request-id", "1"),
            ("cache-control", "no-store, visitor=9f"),
            ("content-length", "77777777777"),
            ("host", "me.example"),
            ("etag", "\"a\""),
        ] {
            assert!(!is_known(name, value), "{name}");
        }
    }

    #[test]
    fn labels_are_words() {
        let route = "/.well-known/private-token-issuer-directory";
        for word in ["attestation", "dedicated-ip", route, "200", "+Inf", "0.005", "POST"] {
            assert!(is_word(word), "{word}");
        }
        for other in ["127.10.0.1", "203.0.113.7", "9f86d081884c7d65", "Alice Smith", "12345"] {
            assert!(!is_word(other), "{other}");
        }
    }

    #[test]
    fn a_value_on_both_sides_is_told_as_such() {
        let odd = [
            (Party::Accounts, "x-id".to_owned(), "abc".to_owned()),
            (Party::DipService, "x-id".to_owned(), "abc".to_owned()),
            (Party::Gateway, "etag".to_owned(), "x".to_owned()),
        ];
        let violations = odd_headers(&odd);
        assert!(violations[0].what.contains("dip_service"));
        assert!(violations[2].what.contains("isn't known"));
    }
}
