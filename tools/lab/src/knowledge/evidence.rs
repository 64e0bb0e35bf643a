//! What a party leaves to look at.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use record::{Conversation, Opened, Recording};

use super::Party;
use crate::disk::{self, Database, select_all};

/// Everything of one party in one run. A party may have several of it.
pub struct Evidence {
    /// Whose it is.
    pub party: Party,
    /// Recordings of what its processes received.
    pub recordings: Vec<PathBuf>,
    /// Directories (or files) of state: read raw, whatever they hold, and databases row by row as well.
    pub state: Vec<PathBuf>,
    /// Log files.
    pub logs: Vec<PathBuf>,
    /// What else it showed (metrics, bodies of errors): a name and the bytes.
    pub extras: Vec<(String, Vec<u8>)>,
}

/// One stretch of bytes, and where it was.
pub(crate) struct Piece {
    pub(crate) place: String,
    pub(crate) bytes: Vec<u8>,
}

impl Evidence {
    /// Nothing yet of `party`.
    #[must_use]
    pub const fn of(party: Party) -> Self {
        Self {
            party,
            recordings: Vec::new(),
            state: Vec::new(),
            logs: Vec::new(),
            extras: Vec::new(),
        }
    }

    /// Reads all of it. What can't be read is an error: an audit with holes would prove nothing.
    pub(crate) fn pieces(&self) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for path in &self.recordings {
            let recording = Recording::load(path)
                .with_context(|| format!("reading the recording {}", path.display()))?;
            recording.conversations.values().for_each(|one| heard(one, &mut pieces));
            for note in recording.notes {
                pieces.push(Piece { place: format!("noted {}", note.kind), bytes: note.bytes });
            }
        }
        for root in &self.state {
            for path in disk::files(root)? {
                if !self.recordings.contains(&path) && !self.logs.contains(&path) {
                    stored(&path, &disk::shown(&path, root), &mut pieces)?;
                }
            }
        }
        for path in &self.logs {
            pieces.push(Piece { place: "log".to_owned(), bytes: disk::read(path)? });
        }
        for (name, bytes) in &self.extras {
            pieces.push(Piece { place: name.clone(), bytes: bytes.clone() });
        }
        Ok(pieces)
    }
}

/// One connection: the peer's address, and each request by its path.
fn heard(conversation: &Conversation, pieces: &mut Vec<Piece>) {
    let (peer, other) = match conversation.opened {
        Opened::ByPeer => ("the peer of a connection", "received"),
        Opened::ByUs => ("the end that it called", "an answer it got"),
    };
    if let Some(address) = conversation.peer {
        let bytes = address.ip().to_canonical().to_string().into_bytes();
        pieces.push(Piece { place: peer.to_owned(), bytes });
    }
    let mut place = other.to_owned();
    let mut bytes = Vec::new();
    for line in conversation.received.split_inclusive(|&byte| byte == b'\n') {
        let mut rest = line;
        if conversation.opened == Opened::ByPeer
            && let Some((body, request, path)) = requested(line)
        {
            bytes.extend(body);
            let done = std::mem::replace(&mut place, format!("{other} {path}"));
            pieces.push(Piece { place: done, bytes: std::mem::take(&mut bytes) });
            rest = request;
        }
        bytes.extend(rest);
    }
    pieces.push(Piece { place, bytes });
}

/// Takes a line that ends in an HTTP request line apart: the end of the body before it (which needs no
/// end of line), the request line, and its path without query and with long segments (ids) as an asterisk.
fn requested(line: &[u8]) -> Option<(&[u8], &[u8], String)> {
    let head = line.strip_suffix(b" HTTP/1.1\r\n")?;
    let space = head.iter().rposition(|&byte| byte == b' ')?;
    let (before, target) = head.split_at_checked(space)?;
    let target = std::str::from_utf8(target).ok()?.trim_start();
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let method = methods.iter().find(|method| before.ends_with(method.as_bytes()))?;
    let (body, request) = line.split_at_checked(space.checked_sub(method.len())?)?;
    let path = target.split('?').next()?;
    let segments = path.split('/').map(|segment| if segment.len() < 24 { segment } else { "*" });
    Some((body, request, segments.collect::<Vec<_>>().join("/")))
}

/// A file: its name, its bytes, and each value of each table when it is a database.
fn stored(path: &std::path::Path, shown: &str, pieces: &mut Vec<Piece>) -> Result<()> {
    pieces.push(Piece { place: "a file's name".to_owned(), bytes: shown.as_bytes().to_vec() });
    let bytes = disk::read(path)?;
    if let Some(database) = Database::open(path, &bytes)? {
        for table in database.tables()? {
            for row in database.rows(&select_all(&table.name))? {
                for (column, readings) in table.columns.iter().zip(row) {
                    let place = format!("{shown}, {}.{column}", table.name);
                    let new = |bytes| Piece { place: place.clone(), bytes };
                    pieces.extend(readings.into_iter().map(new));
                }
            }
        }
    }
    pieces.push(Piece { place: shown.to_owned(), bytes });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(opened: Opened, received: &[u8]) -> Vec<(String, Vec<u8>)> {
        let peer = Some("[::ffff:127.9.8.7]:80".parse().unwrap());
        let received = received.to_vec();
        let conversation = Conversation { opened, peer, received, closed: true };
        let mut pieces = Vec::new();
        heard(&conversation, &mut pieces);
        pieces.into_iter().map(|piece| (piece.place, piece.bytes)).collect()
    }

    #[test]
    fn requests_on_one_connection_are_told_apart() {
        let id = "0123456789abcdef0123456789abcdef";
        let stream = format!(
            "POST /a?q=1 HTTP/1.1\r\nhost: x\r\n\r\n{{\"a\":1}}GET /b/{id}/c HTTP/1.1\r\n\r\n"
        );
        let pieces = places(Opened::ByPeer, stream.as_bytes());
        let names: Vec<_> = pieces.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(
            names,
            ["the peer of a connection", "received", "received /a", "received /b/*/c"]
        );
        assert_eq!(pieces[0].1, b"127.9.8.7");
        assert!(pieces[2].1.ends_with(b"{\"a\":1}"), "a body stays with its request");
        let all: Vec<u8> = pieces.iter().skip(1).flat_map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(all, stream.as_bytes(), "nothing is lost");
    }

    #[test]
    fn answers_stay_whole() {
        let pieces = places(Opened::ByUs, b"HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n");
        let names: Vec<_> = pieces.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(names, ["the end that it called", "an answer it got"]);
    }
}
