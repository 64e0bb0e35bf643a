//! What may stand where: the audit's second look, place by place.
//!
//! The knowledge table says what a party may know at all. That isn't enough: what the DIP service may know (a token, an
//! address) still mustn't stand in its log, its metrics or its problem documents, which others read; and an id that is no fact
//! of anybody's joins both sides as well as a fact does. So each place has its own rule:
//!
//! - **log**: no line holds a fact of anybody's;
//! - **column**: all columns are on the list in `stored.toml`, and hold the facts named there and no other;
//! - **header**: names and values of requests and answers are among the known ones;
//! - **metric**: labels are words of the program's own, and hold no fact;
//! - **error-text**: problem documents hold no fact;
//! - **file-time**: nothing but the files for all (databases, logs) changes while people are served;
//! - **core-file**: there is no memory image of a process;
//! - **file**: all files are on the list.

mod said;
mod stored;

pub(crate) use said::{Said, said};
pub(crate) use stored::{Home, stored};

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::knowledge::{Fact, Known, Needles, Party, dig};

/// Which kind of leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A log's line holds a fact.
    Log,
    /// A database's column isn't known, or holds what it mustn't.
    Column,
    /// A header carries an id.
    Header,
    /// A metric's label names somebody.
    Metric,
    /// A problem document repeats a fact.
    ErrorText,
    /// A file's time tells when somebody was there.
    FileTime,
    /// An image of a process's memory lies around.
    CoreFile,
    /// A file isn't known.
    #[value(skip)]
    File,
    /// A party knows what it mustn't, or doesn't know what it should.
    #[value(skip)]
    Knowledge,
    /// The order of rows pairs both sides.
    #[value(skip)]
    Order,
    /// A program holds a tap and mustn't, or the other way round.
    #[value(skip)]
    Tap,
}

impl Kind {
    /// The kinds that can be planted.
    pub const PLANTED: [Self; 7] = [
        Self::Log,
        Self::Column,
        Self::Header,
        Self::Metric,
        Self::ErrorText,
        Self::FileTime,
        Self::CoreFile,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Column => "column",
            Self::Header => "header",
            Self::Metric => "metric",
            Self::ErrorText => "error-text",
            Self::FileTime => "file-time",
            Self::CoreFile => "core-file",
            Self::File => "file",
            Self::Knowledge => "knowledge",
            Self::Order => "order",
            Self::Tap => "tap",
        }
    }
}

/// Something that shouldn't be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// Which kind.
    pub kind: Kind,
    /// Whose, where it is somebody's.
    pub party: Option<Party>,
    /// Where: a file, `table.column`, a header's or metric's name.
    pub place: String,
    /// What.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(
        kind: Kind,
        party: Party,
        place: impl Into<String>,
        what: impl Into<String>,
    ) -> Self {
        Self { kind, party: Some(party), place: place.into(), what: what.into() }
    }

    /// One that belongs to no party and no place.
    pub(crate) fn general(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, party: None, place: String::new(), what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, party, place, what } = self;
        match party {
            Some(party) => write!(f, "{}: {}, {place}: {what}", kind.name(), party.name()),
            None => write!(f, "{}: {what}", kind.name()),
        }
    }
}

/// The facts of a run, to be looked for.
pub(crate) struct Facts<'a> {
    known: &'a [Known],
    needles: Needles,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(known: &'a [Known]) -> Result<Self> {
        Ok(Self { known, needles: Needles::new(known)? })
    }

    /// Each fact that `bytes` hold, however written, with how; once each.
    pub(crate) fn within(&self, bytes: &[u8]) -> Vec<(Fact, String)> {
        let mut found: Vec<(Fact, String)> = Vec::new();
        dig(bytes, &mut |inner, passed| {
            for (_, meaning) in self.needles.find(inner) {
                if let Some(known) = self.known.get(meaning.known)
                    && !found.iter().any(|(fact, _)| *fact == known.fact)
                {
                    let inside: String = passed.iter().map(|layer| format!("{layer} > ")).collect();
                    found.push((known.fact, format!("{inside}{meaning}")));
                }
            }
        });
        found.sort();
        found
    }

    /// The same as words: `subscription (hex)`.
    pub(crate) fn named(&self, bytes: &[u8]) -> Option<String> {
        let found = self.within(bytes);
        let names = found.iter().map(|(fact, how)| format!("{} ({how})", fact.name()));
        (!found.is_empty()).then(|| names.collect::<Vec<_>>().join(", "))
    }
}
