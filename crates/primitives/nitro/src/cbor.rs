//! As much CBOR (RFC 8949) as an attestation document needs, read strictly.
//!
//! Two readers that understand one signed document differently are an attack, so there is one way to
//! write each value: every number and length in its shortest form (RFC 8949, section 4.2.1), strings in
//! one piece, no tags inside, no floats. Maps and arrays may be of indefinite length only where
//! the caller says so, because AWS sends its payload map like that. Nothing is allocated here: a length
//! is checked against what is there before anything is taken.

/// Why bytes aren't the CBOR that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("the input ends too early")]
    Truncated,
    /// Something follows the last item.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
    /// An item of another type.
    #[error("{found} where {expected} belongs")]
    Type {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A number or length that has a shorter form.
    #[error("a number or length not in its shortest form")]
    NotShortest,
    /// A string in chunks, or an open map or array where none may be.
    #[error("indefinite length where it isn't allowed")]
    Indefinite,
    /// Additional information 28 to 30, or 31 where it means nothing.
    #[error("reserved encoding")]
    Reserved,
    /// A text string that isn't UTF-8.
    #[error("a text string that isn't UTF-8")]
    NotUtf8,
}

/// Whether a map or array may be of indefinite length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// What is left of a map (in pairs) or an array (in items); `None` while it is open.
pub struct Items(Option<u64>);

impl Items {
    /// The number left, unless the container is open.
    pub fn left(&self) -> Option<u64> {
        self.0
    }
}

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const NULL: u8 = 0xf6;
const BREAK: u8 = 0xff;

fn type_name(major: u8) -> &'static str {
    match major {
        UNSIGNED => "an unsigned number",
        1 => "a negative number",
        BYTES => "a byte string",
        TEXT => "a text string",
        ARRAY => "an array",
        MAP => "a map",
        TAG => "a tag",
        _ => "a simple value, float or break",
    }
}

/// Takes items off the front of a slice.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// An unsigned number.
    pub fn unsigned(&mut self) -> Result<u64, CborError> {
        self.head(UNSIGNED)?.ok_or(CborError::Reserved)
    }

    /// A byte string in one piece.
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let length = self.head(BYTES)?.ok_or(CborError::Indefinite)?;
        self.take(length)
    }

    /// A text string in one piece.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let length = self.head(TEXT)?.ok_or(CborError::Indefinite)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CborError::NotUtf8)
    }

    /// The head of an array; its items follow, see [`Reader::more`].
    pub fn array(&mut self, open: Open) -> Result<Items, CborError> {
        self.container(ARRAY, open)
    }

    /// The head of a map; its pairs follow, see [`Reader::more`].
    pub fn map(&mut self, open: Open) -> Result<Items, CborError> {
        self.container(MAP, open)
    }

    /// Whether another item (or pair) of the container follows; takes the break off an open one.
    pub fn more(&mut self, items: &mut Items) -> Result<bool, CborError> {
        if let Some(left) = &mut items.0 {
            let more = *left > 0;
            *left = left.saturating_sub(1);
            return Ok(more);
        }
        let more = *self.rest.first().ok_or(CborError::Truncated)? != BREAK;
        if !more {
            self.take(1)?;
            items.0 = Some(0);
        }
        Ok(more)
    }

    /// Takes a null if one is next.
    pub fn null(&mut self) -> bool {
        self.skip_byte(NULL)
    }

    /// Takes the tag `number` (below 24) if it is next.
    pub fn tag(&mut self, number: u8) -> bool {
        self.skip_byte(TAG << 5 | number)
    }

    /// What hasn't been read yet.
    #[must_use]
    pub const fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::Trailing(self.rest.len())) }
    }

    fn container(&mut self, major: u8, open: Open) -> Result<Items, CborError> {
        let count = self.head(major)?;
        if count.is_none() && open == Open::Refused {
            return Err(CborError::Indefinite);
        }
        Ok(Items(count))
    }

    fn skip_byte(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The argument of an item of this major type; `None` means indefinite length.
    fn head(&mut self, expected: u8) -> Result<Option<u64>, CborError> {
        let initial = *self.rest.first().ok_or(CborError::Truncated)?;
        let major = initial >> 5;
        if major != expected {
            return Err(CborError::Type { expected: type_name(expected), found: type_name(major) });
        }
        self.take(1)?;
        let (size, least) = match initial & 0x1f {
            direct @ 0..=23 => return Ok(Some(direct.into())),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            31 => return Ok(None),
            _ => return Err(CborError::Reserved),
        };
        let value = self.take(size)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if value < least { Err(CborError::NotShortest) } else { Ok(Some(value)) }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Writes items in the form that [`Reader`] takes.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An unsigned number.
    #[cfg(feature = "development")]
    pub fn unsigned(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A text string.
    pub fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
    }

    /// The head of an array of `count` items.
    pub fn array(&mut self, count: usize) {
        self.head(ARRAY, count as u64);
    }

    /// The head of a map of `count` pairs.
    #[cfg(feature = "development")]
    pub fn map(&mut self, count: usize) {
        self.head(MAP, count as u64);
    }

    /// A null.
    #[cfg(feature = "development")]
    pub fn null(&mut self) {
        self.0.push(NULL);
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, major: u8, value: u64) {
        let [.., b3, b2, b1, b0] = value.to_be_bytes();
        let major = major << 5;
        match value {
            0..=23 => self.0.push(major | b0),
            24..=0xff => self.0.extend([major | 24, b0]),
            0x100..=0xffff => self.0.extend([major | 25, b1, b0]),
            0x1_0000..=0xffff_ffff => self.0.extend([major | 26, b3, b2, b1, b0]),
            _ => {
                self.0.push(major | 27);
                self.0.extend(value.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(bytes: &[u8]) -> Result<u64, CborError> {
        Reader::new(bytes).unsigned()
    }

    /// RFC 8949, appendix A.
    #[test]
    fn numbers_of_the_rfc_read_and_write() {
        for (value, text) in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (100, "1864"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (u64::MAX, "1bffffffffffffffff"),
        ] {
            let bytes = hex::decode(text).unwrap();
            assert_eq!(number(&bytes), Ok(value));
            let mut writer = Writer::default();
            writer.unsigned(value);
            assert_eq!(writer.finish(), bytes);
        }
    }

    #[test]
    fn longer_forms_are_refused() {
        for text in ["1800", "1817", "190017", "1900ff", "1a0000ffff", "1b00000000ffffffff"] {
            assert_eq!(number(&hex::decode(text).unwrap()), Err(CborError::NotShortest), "{text}");
        }
        assert_eq!(Reader::new(&[0x58, 0x01, 7]).bytes(), Err(CborError::NotShortest));
    }

    #[test]
    fn other_types_and_reserved_forms_are_refused() {
        assert!(matches!(number(&[0x20]), Err(CborError::Type { .. })), "-1");
        assert!(matches!(number(&[0xf9, 0, 0]), Err(CborError::Type { .. })), "0.0");
        assert!(matches!(number(&[0xc0, 0]), Err(CborError::Type { .. })), "a tag");
        assert_eq!(number(&[0x1c]), Err(CborError::Reserved));
        assert_eq!(number(&[0x1f]), Err(CborError::Reserved));
        assert_eq!(Reader::new(&[0x61, 0xff]).text(), Err(CborError::NotUtf8));
    }

    #[test]
    fn chunks_and_unwanted_open_containers_are_refused() {
        assert_eq!(Reader::new(&[0x5f, 0x41, 7, 0xff]).bytes(), Err(CborError::Indefinite));
        assert_eq!(Reader::new(&[0x7f, 0x61, 65, 0xff]).text(), Err(CborError::Indefinite));
        assert_eq!(
            Reader::new(&[0xbf, 0xff]).map(Open::Refused).err(),
            Some(CborError::Indefinite)
        );
    }

    #[test]
    fn lying_lengths_run_out_of_input() {
        for head in [[0x5b, 0x7f], [0x7b, 0x7f]] {
            let mut bytes = head.to_vec();
            bytes.extend([0xff; 7]);
            assert!(Reader::new(&bytes).bytes().is_err());
            assert!(Reader::new(&bytes).text().is_err());
        }
        let mut reader = Reader::new(&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        let mut items = reader.array(Open::Refused).unwrap();
        assert_eq!(reader.more(&mut items), Ok(true));
        assert_eq!(reader.unsigned(), Err(CborError::Truncated));
    }

    #[test]
    fn an_open_map_ends_with_its_break() {
        let mut reader = Reader::new(&[0xbf, 1, 2, 0xff]);
        let mut items = reader.map(Open::Allowed).unwrap();
        assert_eq!(reader.more(&mut items), Ok(true));
        assert_eq!((reader.unsigned(), reader.unsigned()), (Ok(1), Ok(2)));
        assert_eq!(reader.more(&mut items), Ok(false));
        assert_eq!(reader.finish(), Ok(()));

        let mut cut = Reader::new(&[0xbf]);
        let mut items = cut.map(Open::Allowed).unwrap();
        assert_eq!(cut.more(&mut items), Err(CborError::Truncated));
    }

    proptest! {
        #[test]
        fn strings_come_back(bytes: Vec<u8>, text: String) {
            let mut writer = Writer::default();
            writer.bytes(&bytes);
            writer.text(&text);
            let written = writer.finish();
            let mut reader = Reader::new(&written);
            prop_assert_eq!(reader.bytes(), Ok(bytes.as_slice()));
            prop_assert_eq!(reader.text(), Ok(text.as_str()));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        /// What can be read has one encoding: writing the value gives the same bytes again.
        #[test]
        fn a_number_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 1..9)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.unsigned() {
                let mut writer = Writer::default();
                writer.unsigned(value);
                prop_assert_eq!(writer.finish(), &bytes[..bytes.len() - reader.rest.len()]);
            }
        }
    }
}
