//! Every shape in which a fact may lie around, all looked for at once.
//!
//! A value is looked for as it is, in hex, in base64 at each of its three alignments, as the list of
//! numbers that serializers and debug output make of bytes, and escaped; and the same for its SHA-256
//! and BLAKE3. Of a long value the last 32 bytes count as well: databases cut long values up, and the
//! end of a token or a signature is as unique as the whole.
//!
//! An IPv4 address is too short for that. It counts as a dotted quad, a decimal number, eight hex
//! digits or its base64, and only as a whole word; its hashes count like everybody's.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::{Known, Value};

/// Fewer bytes than these turn up by chance.
const SHORTEST: usize = 8;

/// Of a value longer than twice this, so many last bytes are looked for, too.
const TAIL: usize = 32;

/// All shapes of all facts of a run.
pub(crate) struct Needles {
    automaton: AhoCorasick,
    /// By pattern.
    meanings: Vec<Vec<Meaning>>,
}

/// What it means that a pattern was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// Index of the fact among those looked for.
    pub(crate) known: usize,
    /// What of the value.
    pub(crate) of: Of,
    /// In which writing.
    pub(crate) form: Form,
    /// Whether it counts only when no letter or digit touches it.
    word: bool,
}

/// What of a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Value,
    Tail,
    Sha256,
    Blake3,
}

/// How it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Hex,
    Base64,
    Base64Url,
    Numbers,
    Escaped,
    Uuid,
    Dotted,
    Decimal,
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Of::Value => "",
            Of::Tail => "its end, ",
            Of::Sha256 => "its SHA-256, ",
            Of::Blake3 => "its BLAKE3, ",
        };
        let form = match self.form {
            Form::Plain => "plain",
            Form::Hex => "hex",
            Form::Base64 => "base64",
            Form::Base64Url => "base64url",
            Form::Numbers => "a list of numbers",
            Form::Escaped => "escaped",
            Form::Uuid => "as a UUID",
            Form::Dotted => "dotted",
            Form::Decimal => "a decimal number",
        };
        write!(f, "{of}{form}")
    }
}

impl Needles {
    /// Prepares to look for all of `known`. A value of fewer than eight bytes that isn't an address is refused.
    pub(crate) fn new(known: &[Known]) -> Result<Self> {
        let mut patterns = Patterns::default();
        for (index, one) in known.iter().enumerate() {
            for value in &one.values {
                match value {
                    Value::Bytes(bytes) => {
                        let enough = bytes.len() >= SHORTEST;
                        ensure!(enough, "{} is too short to be looked for", one.fact.name());
                        patterns.bytes(index, bytes);
                    }
                    Value::Address(address) => patterns.address(index, *address),
                }
            }
        }
        let automaton = AhoCorasick::new(&patterns.patterns).context("too many facts")?;
        Ok(Self { automaton, meanings: patterns.meanings })
    }

    /// Everything that `haystack` shows, each with the offset at which it starts.
    pub(crate) fn find(&self, haystack: &[u8]) -> impl Iterator<Item = (usize, Meaning)> {
        self.automaton.find_overlapping_iter(haystack).flat_map(move |found| {
            let meanings = self.meanings.get(found.pattern().as_usize()).map_or(&[][..], |all| all);
            let word = is_word(haystack, found.start(), found.end());
            let counts = meanings.iter().filter(move |meaning| word || !meaning.word);
            counts.map(move |meaning| (found.start(), *meaning))
        })
    }
}

#[derive(Default)]
struct Patterns {
    numbers: HashMap<Vec<u8>, usize>,
    patterns: Vec<Vec<u8>>,
    meanings: Vec<Vec<Meaning>>,
}

impl Patterns {
    fn add(&mut self, pattern: impl Into<Vec<u8>>, meaning: Meaning) {
        let pattern = pattern.into();
        let number = *self.numbers.entry(pattern).or_insert_with_key(|pattern| {
            self.patterns.push(pattern.clone());
            self.meanings.push(Vec::new());
            self.patterns.len() - 1
        });
        if let Some(meanings) = self.meanings.get_mut(number)
            && !meanings.iter().any(|known| (known.known, known.of) == (meaning.known, meaning.of))
        {
            meanings.push(meaning);
        }
    }

    fn bytes(&mut self, known: usize, value: &[u8]) {
        self.forms(known, Of::Value, value);
        if value.len() > 2 * TAIL
            && let Some(tail) = value.last_chunk::<TAIL>()
        {
            self.forms(known, Of::Tail, tail);
        }
        self.hashes(known, value);
    }

    fn hashes(&mut self, known: usize, value: &[u8]) {
        self.forms(known, Of::Sha256, digest(&SHA256, value).as_ref());
        self.forms(known, Of::Blake3, blake3::hash(value).as_bytes());
    }

    fn forms(&mut self, known: usize, of: Of, value: &[u8]) {
        let meaning = |form| Meaning { known, of, form, word: false };
        self.add(value, meaning(Form::Plain));
        let lower = hex::encode(value);
        self.add(lower.to_ascii_uppercase(), meaning(Form::Hex));
        if let (16, Some(uuid)) = (value.len(), uuid(&lower)) {
            self.add(uuid, meaning(Form::Uuid));
        }
        self.add(lower, meaning(Form::Hex));
        for alignment in 0..3 {
            self.add(aligned(&STANDARD_NO_PAD, value, alignment), meaning(Form::Base64));
            self.add(aligned(&URL_SAFE_NO_PAD, value, alignment), meaning(Form::Base64Url));
        }
        let numbers: Vec<String> = value.iter().map(u8::to_string).collect();
        self.add(numbers.join(","), meaning(Form::Numbers));
        self.add(numbers.join(", "), meaning(Form::Numbers));
        self.add(value.escape_ascii().to_string(), meaning(Form::Escaped));
    }

    fn address(&mut self, known: usize, address: Ipv4Addr) {
        let octets = address.octets();
        let meaning = |form| Meaning { known, of: Of::Value, form, word: true };
        self.add(address.to_string(), meaning(Form::Dotted));
        self.add(u32::from(address).to_string(), meaning(Form::Decimal));
        self.add(hex::encode(octets), meaning(Form::Hex));
        self.add(hex::encode_upper(octets), meaning(Form::Hex));
        self.add(STANDARD_NO_PAD.encode(octets), meaning(Form::Base64));
        self.add(URL_SAFE_NO_PAD.encode(octets), meaning(Form::Base64Url));
        let [high, low] = [u32::from(address) >> 16, u32::from(address) & 0xffff];
        self.add(format!("::ffff:{high:x}:{low:x}"), meaning(Form::Hex));
        self.hashes(known, &octets);
        self.hashes(known, address.to_string().as_bytes());
    }
}

/// The characters of `value` inside a longer base64 text in which `alignment` bytes (mod 3) stand
/// before it: those that neither what stands before nor what follows has a part in.
fn aligned(engine: &impl base64::Engine, value: &[u8], alignment: usize) -> Vec<u8> {
    let shifted: Vec<u8> = std::iter::repeat_n(0, alignment).chain(value.iter().copied()).collect();
    let text = engine.encode(&shifted).into_bytes();
    let from = (alignment * 8).div_ceil(6);
    let to = shifted.len() * 8 / 6;
    text.get(from..to).unwrap_or_default().to_vec()
}

/// 32 hex digits with the hyphens of a UUID.
fn uuid(hex: &str) -> Option<String> {
    let part = |range: std::ops::Range<usize>| hex.get(range);
    let parts = [part(0..8)?, part(8..12)?, part(12..16)?, part(16..20)?, part(20..32)?];
    Some(parts.join("-"))
}

/// Whether what stands at `start..end` is no part of a longer word or dotted number.
fn is_word(haystack: &[u8], start: usize, end: usize) -> bool {
    let (before, after) = (haystack.get(..start), haystack.get(end..));
    let free_before = match before.unwrap_or_default() {
        [.., digit, b'.'] => !digit.is_ascii_digit(),
        [.., last] => !last.is_ascii_alphanumeric(),
        [] => true,
    };
    let free_after = match after.unwrap_or_default() {
        [b'.', digit, ..] => !digit.is_ascii_digit(),
        [first, ..] => !first.is_ascii_alphanumeric(),
        [] => true,
    };
    free_before && free_after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Fact;

    fn found(known: &Known, haystack: &[u8]) -> Vec<String> {
        let needles = Needles::new(std::slice::from_ref(known)).unwrap();
        let mut all: Vec<_> =
            needles.find(haystack).map(|(_, meaning)| meaning.to_string()).collect();
        all.dedup();
        all
    }

    #[test]
    fn base64_is_found_at_every_alignment_inside_more() {
        let value: Vec<u8> = (200..=255).chain(0..20).collect();
        let known = Known::new(Fact::Lease, 0, value.clone());
        for before in 0..7 {
            for after in 0..5 {
                let whole = [vec![0x5a; before], value.clone(), vec![0xa5; after]].concat();
                for text in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                    assert!(!found(&known, text.as_bytes()).is_empty(), "{before} {after}");
                }
            }
        }
    }

    #[test]
    fn an_address_counts_as_a_whole_word_only() {
        let known = Known::address(Fact::DedicatedIp, 0, Ipv4Addr::new(127, 4, 0, 12));
        for text in ["127.4.0.12", "ip=127.4.0.12:80", "to 127.4.0.12.", "[127.4.0.12/32]"] {
            assert_eq!(found(&known, text.as_bytes()), ["dotted"], "{text}");
        }
        for text in ["127.4.0.123", "1127.4.0.12", "9.127.4.0.12", "127.4.0.12.7", "127.4.0.1"] {
            assert!(found(&known, text.as_bytes()).is_empty(), "{text}");
        }
        assert_eq!(found(&known, b"{\"ip\":2130968588}"), ["a decimal number"]);
        assert!(found(&known, b"{\"ip\":21309685880}").is_empty());
        assert_eq!(found(&known, b"7F04000c 7f04000c \"fwQADA==\""), ["hex", "base64"]);
        assert!(found(&known, b"17f04000c afwQADA").is_empty());
        assert!(found(&known, &[0, 127, 4, 0, 12, 0]).is_empty());
        assert_eq!(found(&known, b"::ffff:127.4.0.12 ::ffff:7f04:c"), ["dotted", "hex"]);
    }

    #[test]
    fn short_values_are_refused() {
        assert!(Needles::new(&[Known::new(Fact::Lease, 0, *b"seven77")]).is_err());
        assert!(Needles::new(&[Known::new(Fact::Lease, 0, *b"eight888")]).is_ok());
    }
}
