//! Lines and their chain; no I/O.

use aws_lc_rs::digest::{Context, SHA256};
use coarse::Hour;
use serde::{Deserialize, Serialize};

/// What the first line follows.
pub const GENESIS: Hash = Hash([0; 32]);

/// SHA-256 of a line and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(#[serde(with = "hex::serde")] pub(crate) [u8; 32]);

impl Hash {
    /// The 64 digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The hour, as hours since 1970.
    pub hour: Hour,
    /// Who: a label.
    pub operator: String,
    /// What was done: `account-create`, `keys-activate`, ...
    pub action: String,
    /// To what; nothing that the service's side of the wall may not know.
    pub subject: String,
    /// What came of it: `done`, `unchanged`, or why it was refused.
    pub outcome: String,
}

/// An entry in its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// The hash of the line before; zeros for the first.
    pub previous: Hash,
    /// This line's hash.
    pub hash: Hash,
}

/// Where a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// How many lines there are.
    pub lines: usize,
    /// The last line's hash.
    pub head: Hash,
}

impl Head {
    /// Of a trail without lines.
    pub const EMPTY: Self = Self { lines: 0, head: GENESIS };
}

/// Why a trail isn't what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A line is no line.
    #[error("line {0} is damaged")]
    Damaged(usize),
    /// A line doesn't follow the one before: something was left out, put in or moved here.
    #[error("line {0} does not follow the line before it")]
    Order(usize),
    /// A line isn't what its hash says.
    #[error("line {0} was changed")]
    Changed(usize),
    /// The noted head isn't in the trail.
    #[error(
        "the trail does not reach the head that was noted: lines are missing at its end, or it is another trail"
    )]
    Short,
}

impl Line {
    /// The line that holds `entry` after the line with hash `previous`.
    #[must_use]
    pub fn after(previous: Hash, entry: Entry) -> Self {
        let hash = hash(previous, &entry);
        Self { entry, previous, hash }
    }

    /// Whether it is what its hash says.
    pub(crate) fn is_sound(&self) -> bool {
        hash(self.previous, &self.entry) == self.hash
    }
}

/// Every field goes in with its length in front, so that nothing can move from one to the next.
fn hash(previous: Hash, entry: &Entry) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(b"cloakroom trail v1");
    context.update(&previous.0);
    context.update(&entry.hour.number().to_be_bytes());
    for field in [&entry.operator, &entry.action, &entry.subject, &entry.outcome] {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Hash(hash)
}

/// Reads a whole trail and checks its chain; `noted` is a head's hash from before, which must be in it.
pub(crate) fn check(text: &str, noted: Option<Hash>) -> Result<(Vec<Line>, Head), Broken> {
    let mut lines: Vec<Line> = Vec::new();
    let mut head = Head::EMPTY;
    let mut found = noted.is_none_or(|noted| noted == GENESIS);
    for (index, text) in text.split_terminator('\n').enumerate() {
        let number = index + 1;
        let line: Line = serde_json::from_str(text).map_err(|_| Broken::Damaged(number))?;
        if line.previous != head.head {
            return Err(Broken::Order(number));
        }
        if !line.is_sound() {
            return Err(Broken::Changed(number));
        }
        found |= noted == Some(line.hash);
        head = Head { lines: number, head: line.hash };
        lines.push(line);
    }
    // A last line without its end was cut in the middle, even if what is left should read well.
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(Broken::Damaged(head.lines));
    }
    if found { Ok((lines, head)) } else { Err(Broken::Short) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: &str) -> Entry {
        Entry {
            hour: Hour::new(490_000),
            operator: "ada".into(),
            action: action.into(),
            subject: "subject".into(),
            outcome: "done".into(),
        }
    }

    fn trail(actions: &[&str]) -> Vec<String> {
        let mut previous = GENESIS;
        let mut lines = Vec::new();
        for action in actions {
            let line = Line::after(previous, entry(action));
            previous = line.hash;
            lines.push(serde_json::to_string(&line).unwrap());
        }
        lines
    }

    fn text(lines: &[String]) -> String {
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn every_kind_of_tampering_is_found() {
        let lines = trail(&["one", "two", "three"]);
        let (read, head) = check(&text(&lines), None).unwrap();
        assert_eq!((read.len(), head.lines), (3, 3));
        let refused = |lines: &[String]| check(&text(lines), Some(head.head)).unwrap_err();

        let mut edited = lines.clone();
        edited[1] = edited[1].replace("two", "twö");
        assert_eq!(refused(&edited), Broken::Changed(2));
        for change in
            [("490000", "490001"), ("ada", "bob"), ("subject\":\"subject", "subject\":\"x")]
        {
            let mut edited = lines.clone();
            edited[0] = edited[0].replace(change.0, change.1);
            assert_eq!(refused(&edited), Broken::Changed(1), "{change:?}");
        }
        assert_eq!(refused(&[lines[0].clone(), lines[2].clone()]), Broken::Order(2));
        assert_eq!(refused(&lines[1..]), Broken::Order(1));
        assert_eq!(
            refused(&[lines[0].clone(), lines[2].clone(), lines[1].clone()]),
            Broken::Order(2)
        );
        let mut twice = lines.clone();
        twice.insert(1, lines[0].clone());
        assert_eq!(refused(&twice), Broken::Order(2));
        // A line that was made anew fits itself, and then the next doesn't fit it.
        let mut made = lines.clone();
        let first: Line = serde_json::from_str(&lines[0]).unwrap();
        made[1] = serde_json::to_string(&Line::after(first.hash, entry("other"))).unwrap();
        assert_eq!(refused(&made), Broken::Order(3));
        let mut damaged = lines.clone();
        damaged[2] = "{}".into();
        assert_eq!(refused(&damaged), Broken::Damaged(3));
    }

    #[test]
    fn lines_cut_off_at_the_end_are_found_by_whoever_noted_the_head() {
        let lines = trail(&["one", "two"]);
        let head = check(&text(&lines), None).unwrap().1;
        let cut = text(&lines[..1]);
        assert!(check(&cut, None).is_ok(), "nothing in the file itself tells");
        assert_eq!(check(&cut, Some(head.head)), Err(Broken::Short));
        assert_eq!(check("", Some(head.head)), Err(Broken::Short));
        let earlier = check(&cut, None).unwrap().1;
        assert!(check(&text(&lines), Some(earlier.head)).is_ok(), "an older head is still in it");
        let mut torn = text(&lines);
        torn.pop();
        assert_eq!(check(&torn, None), Err(Broken::Damaged(2)));
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let with = |operator: &str, action: &str| {
            let entry = Entry { operator: operator.into(), action: action.into(), ..entry("") };
            Line::after(GENESIS, entry).hash
        };
        assert_ne!(with("ab", "c"), with("a", "bc"));
    }
}
