//! Reading a recording back.
//!
//! A recording is text, one event a line, fields apart by one space, bytes in lower-case hex:
//!
//! ```text
//! cloakroom-knowledge-tap
//! opened 0 by-peer 127.0.0.1:40312
//! received 0 474554202f
//! note opened-request 7b7d
//! closed 0
//! ```
//!
//! Connections are numbered from 0 in the order in which they were opened; a peer without a network
//! address is `-`. The last line may lack its end, when the process was killed while it wrote.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::{Opened, TAP_MARKER};

/// All that one process received, put together again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Connections by number.
    pub conversations: BTreeMap<u64, Conversation>,
    /// What was learned in other ways, in order.
    pub notes: Vec<Note>,
}

/// One connection: the peer and every byte that it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Who opened it.
    pub opened: Opened,
    /// The other end.
    pub peer: Option<SocketAddr>,
    /// The bytes received, in order, chunk after chunk.
    pub received: Vec<u8>,
    /// Whether it was closed before the recording ended.
    pub closed: bool,
}

/// Something learned by other means than reading from a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What the bytes are.
    pub kind: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why a recording can't be read.
#[derive(Debug)]
pub enum LoadError {
    /// The file can't be read.
    Io(io::Error),
    /// The line with this number (from 1) is none that a recorder writes.
    Line(usize),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(_) => write!(f, "the recording can't be read"),
            Self::Line(number) => write!(f, "line {number} is not a recorder's"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Line(_) => None,
        }
    }
}

impl Recording {
    /// Reads the recording at `path`.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::parse(&fs::read_to_string(path).map_err(LoadError::Io)?)
    }

    /// Reads a recording's text.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let mut recording = Self::default();
        let mut lines = text.split_inclusive('\n').enumerate();
        match lines.next() {
            Some((_, first)) if first.strip_suffix('\n') == Some(TAP_MARKER) => {}
            _ => return Err(LoadError::Line(1)),
        }
        for (index, line) in lines {
            match line.strip_suffix('\n') {
                Some(line) => recording.take_in(line).ok_or(LoadError::Line(index + 1))?,
                // Torn by a kill: half a byte is lost, whole ones count. Only hex stays true when cut.
                None if line.starts_with("received ") || line.starts_with("note ") => {
                    let _ = recording.take_in(torn_at_a_byte(line));
                }
                None => {}
            }
        }
        Ok(recording)
    }

    /// Every byte received and noted, one piece per connection or note: what an observer searches.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let received = self.conversations.values().map(|one| one.received.as_slice());
        received.chain(self.notes.iter().map(|note| note.bytes.as_slice()))
    }

    fn take_in(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split(' ');
        match fields.next()? {
            "opened" => {
                let number = fields.next()?.parse().ok()?;
                let opened = match fields.next()? {
                    "by-peer" => Opened::ByPeer,
                    "by-us" => Opened::ByUs,
                    _ => return None,
                };
                let peer = match fields.next()? {
                    "-" => None,
                    peer => Some(peer.parse().ok()?),
                };
                let new = Conversation { opened, peer, received: Vec::new(), closed: false };
                if self.conversations.insert(number, new).is_some() {
                    return None;
                }
            }
            "received" => {
                let one = self.conversations.get_mut(&fields.next()?.parse().ok()?)?;
                one.received.extend(from_hex(fields.next()?)?);
            }
            "closed" => {
                self.conversations.get_mut(&fields.next()?.parse().ok()?)?.closed = true;
            }
            "note" => {
                let kind = fields.next()?.to_owned();
                self.notes.push(Note { kind, bytes: from_hex(fields.next()?)? });
            }
            _ => return None,
        }
        fields.next().is_none().then_some(())
    }
}

/// The part of a torn line whose hex is of even length.
fn torn_at_a_byte(line: &str) -> &str {
    let hex = line.rsplit(' ').next().unwrap_or_default();
    line.get(..line.len() - hex.len() % 2).unwrap_or_default()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        &[high, low] => Some(nibble(high)? << 4 | nibble(low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Connection as _, Recorder, Tap};

    fn record(events: impl FnOnce(&Recorder)) -> (tempfile::TempDir, Recording) {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("tape");
        let recorder = Recorder::to_file(&path).unwrap();
        events(&recorder);
        // The recorder is alive still, as in a process that is about to be killed.
        let recording = Recording::load(&path).unwrap();
        drop(recorder);
        (room, recording)
    }

    #[test]
    fn interleaved_connections_come_apart_again() {
        let peer: SocketAddr = "127.0.0.9:7".parse().unwrap();
        let (_room, recording) = record(|tap| {
            let mut first = tap.connected(Opened::ByPeer, Some(peer));
            let mut second = tap.connected(Opened::ByUs, None);
            first.received(b"GET ");
            second.received(&[0, 255]);
            tap.note("order plain", b"x");
            first.received(b"/");
            drop(first);
            std::mem::forget(second);
        });
        let first = &recording.conversations[&0];
        assert_eq!((first.received.as_slice(), first.closed), (b"GET /".as_slice(), true));
        assert_eq!((first.opened, first.peer), (Opened::ByPeer, Some(peer)));
        let second = &recording.conversations[&1];
        assert_eq!((second.received.as_slice(), second.closed), ([0, 255].as_slice(), false));
        assert_eq!((second.opened, second.peer), (Opened::ByUs, None));
        assert_eq!(recording.notes, [Note { kind: "order-plain".into(), bytes: b"x".to_vec() }]);
        assert_eq!(recording.pieces().map(<[u8]>::len).sum::<usize>(), 8);
    }

    #[test]
    fn a_torn_last_line_keeps_its_whole_bytes() {
        let head = format!("{TAP_MARKER}\nopened 0 by-peer -\n");
        for (torn, kept) in [
            ("received 0 474", "G"),
            ("received 0 4745", "GE"),
            ("received 0 ", ""),
            ("received 0", ""),
            ("rec", ""),
            ("closed 0", ""),
        ] {
            let recording = Recording::parse(&format!("{head}{torn}")).unwrap();
            assert_eq!(recording.conversations[&0].received, kept.as_bytes(), "{torn}");
            assert!(!recording.conversations[&0].closed);
        }
    }

    #[test]
    fn strange_lines_are_refused() {
        let head = format!("{TAP_MARKER}\nopened 0 by-peer -\n");
        for line in [
            "received 1 00",
            "received 0 0",
            "received 0 0G",
            "received 0 00 00",
            "opened 0 by-us -",
            "opened 1 by-moon -",
            "closed 4",
            "",
        ] {
            let result = Recording::parse(&format!("{head}{line}\n"));
            assert!(matches!(result, Err(LoadError::Line(3))), "{line}");
        }
        assert!(matches!(Recording::parse("{}\n"), Err(LoadError::Line(1))));
    }

    #[test]
    fn a_recording_is_never_overwritten_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("tape");
        drop(Recorder::to_file(&path).unwrap());
        assert!(Recorder::to_file(&path).is_err());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_and_content_survive(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        ) {
            let (_room, recording) = record(|tap| {
                let mut connection = tap.connected(Opened::ByPeer, None);
                for chunk in &chunks {
                    connection.received(chunk);
                }
            });
            prop_assert_eq!(&recording.conversations[&0].received, &chunks.concat());
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = Recording::parse(&text);
            let _ = Recording::parse(&format!("{TAP_MARKER}\n{text}\n{text}"));
        }
    }
}
