//! Files of lines with fields between commas (RFC 4180), read strictly, and what is wrong with them, line by line.
//!
//! No value here has a comma, a quotation mark's partner in another field, or a line break, so every record is a line, whatever it
//! holds: a quotation mark that is never closed spoils its own line only.

use std::error::Error;
use std::fmt;

use csv::{ReaderBuilder, StringRecord};

/// The largest file that is read: 16 MiB.
pub const MOST_BYTES: usize = 16 << 20;
/// How many errors of one file are told; the rest are counted.
pub const MOST_ERRORS: usize = 20;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError<P> {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: P,
}

impl<P: fmt::Display> fmt::Display for LineError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// All that is wrong with a file: at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineErrors<P> {
    /// [`MOST_ERRORS`] of them at most, by line.
    pub told: Vec<LineError<P>>,
    /// How many more there are.
    pub left_out: usize,
}

impl<P> Default for LineErrors<P> {
    fn default() -> Self {
        Self { told: Vec::new(), left_out: 0 }
    }
}

impl<P> LineErrors<P> {
    pub(crate) fn one(line: usize, problem: P) -> Self {
        Self { told: vec![LineError { line, problem }], left_out: 0 }
    }

    pub(crate) fn add(&mut self, line: usize, problem: P) {
        if self.told.len() < MOST_ERRORS {
            self.told.push(LineError { line, problem });
        } else {
            self.left_out += 1;
        }
    }

    /// The same errors in other terms.
    pub(crate) fn translated<Q: From<P>>(self) -> LineErrors<Q> {
        let told = self.told.into_iter();
        let told =
            told.map(|LineError { line, problem }| LineError { line, problem: problem.into() });
        LineErrors { told: told.collect(), left_out: self.left_out }
    }

    /// `value`, unless something is wrong.
    pub(crate) fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.told.is_empty() {
            return Ok(value);
        }
        self.told.sort_by_key(|error| error.line);
        Err(self)
    }
}

impl<P: fmt::Display> fmt::Display for LineErrors<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.told.iter().enumerate() {
            let before = if number == 0 { "" } else { "\n" };
            write!(f, "{before}{error}")?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl<P: fmt::Debug + fmt::Display> Error for LineErrors<P> {}

/// Why a file has no lines that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// More than [`MOST_BYTES`].
    #[error("the file has more than 16 MiB: split it")]
    TooLong,
    /// Not UTF-8.
    #[error("the text is not UTF-8: save it as such")]
    Utf8,
    /// A carriage return without a line feed.
    #[error("a line ends with LF or CRLF, not with CR alone")]
    CarriageReturn,
}

/// A file's text: UTF-8, without a byte order mark.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, LineErrors<FormError>> {
    let line = |at: usize| {
        let before = bytes.get(..at).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    };
    if bytes.len() > MOST_BYTES {
        return Err(LineErrors::one(line(MOST_BYTES), FormError::TooLong));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| LineErrors::one(line(error.valid_up_to()), FormError::Utf8))?;
    let alone = |at: &usize| bytes.get(at + 1) != Some(&b'\n');
    if let Some(at) = text.match_indices('\r').map(|(at, _)| at).find(alone) {
        return Err(LineErrors::one(line(at), FormError::CarriageReturn));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The records of a text that [`text`] gave, each with its line: all but empty lines and those that begin with `#`.
pub(crate) fn records(text: &str) -> impl Iterator<Item = (usize, StringRecord)> {
    let reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .quoting(false)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let lines = text.lines().enumerate();
    let told = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    // Reading from memory text that is UTF-8, into records of any length, can't fail.
    told.zip(reader.into_records())
        .filter_map(|((number, _), record)| Some((number + 1, record.ok()?)))
}

/// A field without its quotation marks: they stand around a whole field, and twice for each one inside.
pub(crate) fn unquoted(field: &str) -> Option<String> {
    let Some(opened) = field.strip_prefix('"') else {
        return (!field.contains('"')).then(|| field.to_owned());
    };
    let inner = opened.strip_suffix('"')?;
    (!inner.replace("\"\"", "").contains('"')).then(|| inner.replace("\"\"", "\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(usize, Vec<String>)> {
        records(text)
            .map(|(line, record)| (line, record.iter().map(str::to_owned).collect()))
            .collect()
    }

    #[test]
    fn records_know_their_lines() {
        let text = "# first\r\n\r\na,b\r\n# between\n\n\nc,\"d\n,\n \n#last";
        let fields = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(
            read(text),
            [
                (3, fields(&["a", "b"])),
                (7, fields(&["c", "\"d"])),
                (8, fields(&["", ""])),
                (9, fields(&[" "])),
            ]
        );
        assert!(read("").is_empty());
    }

    #[test]
    fn texts_that_are_none_name_the_line() {
        let error = |bytes: &[u8]| {
            let errors = text(bytes).unwrap_err();
            (errors.told[0].line, errors.told[0].problem)
        };
        assert_eq!(error(b"a\nb\xff\n"), (2, FormError::Utf8));
        assert_eq!(error(b"a\r\nb\rc\r\n"), (2, FormError::CarriageReturn));
        assert_eq!(error(b"a\r"), (1, FormError::CarriageReturn));
        assert_eq!(error(&vec![b'\n'; MOST_BYTES + 1]).1, FormError::TooLong);
        assert_eq!(text(b"\xef\xbb\xbfa\n"), Ok("a\n"));
        assert!(text(&vec![b'\n'; MOST_BYTES]).is_ok());
    }

    #[test]
    fn fields_are_quoted_as_a_whole_or_not_at_all() {
        for (field, value) in [
            ("a", Some("a")),
            ("", Some("")),
            ("\"a\"", Some("a")),
            ("\"\"", Some("")),
            ("\"a \"\"b\"\"\"", Some("a \"b\"")),
            ("\"", None),
            ("\"a", None),
            ("a\"", None),
            ("\"a\"b", None),
            ("\"a\"b\"", None),
            ("a\"b\"", None),
            ("\"\"\"", None),
        ] {
            assert_eq!(unquoted(field).as_deref(), value, "{field}");
        }
    }

    proptest! {
        #[test]
        fn a_record_is_its_line(whole in "[a#\"\\n, \u{e4}]{0,40}|([a,]\\r\\n)*") {
            let lines: Vec<&str> = whole.lines().collect();
            for (line, fields) in read(&whole) {
                prop_assert_eq!(fields.join(","), lines[line - 1]);
            }
            let told = lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#'));
            prop_assert_eq!(read(&whole).len(), told.count());
        }
    }
}
