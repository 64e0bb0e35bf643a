//! Where two builds of a program part.

use std::fmt;
use std::ops::Range;

use object::{Object as _, ObjectSection as _};
use serde::Serialize;

/// A note with a hash of the rest of the program.
const BUILD_ID: &str = ".note.gnu.build-id";

/// The first difference of two files. What a program begins with, its headers and its build ID, differs whenever anything does: it
/// counts only if nothing else differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The program's name.
    pub program: &'static str,
    /// Where in the file.
    pub offset: u64,
    /// The section of the first file that this byte is in, if it is in one.
    pub section: Option<String>,
    /// How long both files are, in bytes.
    pub lengths: [u64; 2],
}

impl Difference {
    /// That of two builds of `program`; nothing if they are the same.
    pub(crate) fn between(program: &'static str, first: &[u8], second: &[u8]) -> Option<Self> {
        let pairs = first.iter().zip(second).zip(0_u64..);
        let mut offsets =
            pairs.filter(|((one, other), _)| one != other).map(|(_, offset)| offset).peekable();
        let (length, other_length) = (first.len() as u64, second.len() as u64);
        let foremost = match offsets.peek() {
            Some(offset) => *offset,
            None if length == other_length => return None,
            None => length.min(other_length),
        };
        let sections = Sections::of(first);
        let telling = offsets.find_map(|offset| {
            let section = sections.at(offset).filter(|section| *section != BUILD_ID)?;
            Some((offset, Some(section)))
        });
        let (offset, section) = telling.unwrap_or_else(|| (foremost, sections.at(foremost)));
        let lengths = [length, other_length];
        Some(Self { program, offset, section: section.map(str::to_owned), lengths })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, offset, section, lengths: [first, second] } = self;
        write!(f, "two builds of {program} differ at offset {offset:#x}")?;
        if let Some(section) = section {
            write!(f, ", in {section}")?;
        }
        write!(f, "; they have {first} and {second} bytes")
    }
}

/// A program's sections: names, and where in the file they are.
struct Sections(Vec<(String, Range<u64>)>);

impl Sections {
    /// Those of a file; none if it is no program.
    fn of(file: &[u8]) -> Self {
        let named = |section: object::Section<'_, '_>| {
            let (start, size) = section.file_range()?;
            Some((section.name().ok()?.to_owned(), start..start.saturating_add(size)))
        };
        let file = object::File::parse(file);
        Self(file.iter().flat_map(|file| file.sections().filter_map(named)).collect())
    }

    fn at(&self, offset: u64) -> Option<&str> {
        let found = self.0.iter().find(|(_, range)| range.contains(&offset));
        found.map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_do_not_differ() {
        assert_eq!(Difference::between("any", b"same", b"same"), None);
        assert_eq!(Difference::between("any", b"", b""), None);
    }

    #[test]
    fn the_first_byte_that_differs_is_told_and_a_file_may_just_end() {
        let at = |first: &[u8], second: &[u8]| {
            let difference = Difference::between("any", first, second).unwrap();
            assert_eq!(difference.section, None);
            (difference.offset, difference.lengths)
        };
        assert_eq!(at(b"abcd", b"abXX"), (2, [4, 4]));
        assert_eq!(at(b"abcd", b"ab"), (2, [4, 2]));
        assert_eq!(at(b"", b"a"), (0, [0, 1]));
    }

    /// The test itself is a program: its machine code is in `.text`, and its first bytes are in no section.
    #[test]
    fn the_section_of_a_difference_is_told() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(&*program).unwrap();
        let (start, size) = file.section_by_name(".text").unwrap().file_range().unwrap();
        let (id, _) = file.section_by_name(BUILD_ID).unwrap().file_range().unwrap();
        let told = |offsets: &[u64]| {
            let mut other = program.clone();
            for offset in offsets {
                other[*offset as usize] ^= 1;
            }
            let difference = Difference::between("any", &program, &other).unwrap();
            (difference.offset, difference.section)
        };
        let text = Some(".text".to_owned());
        assert_eq!(told(&[start]), (start, text.clone()));
        assert_eq!(told(&[start + size - 1]), (start + size - 1, text.clone()));
        assert_eq!(told(&[0, id, start + 9, start + 10]), (start + 9, text));
        assert_eq!(told(&[id]), (id, Some(BUILD_ID.to_owned())));
        assert_eq!(told(&[0]), (0, None));
    }
}
