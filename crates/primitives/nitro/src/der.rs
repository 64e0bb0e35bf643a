//! As much DER (X.690) as a certificate needs, read strictly.

/// The bytes aren't strict DER, or not of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the DER that belongs here")]
pub(crate) struct DerError;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The context-specific, constructed tag with this number.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Takes elements off the front of a slice.
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    /// Reads `input`.
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn element(&mut self, tag: u8) -> Result<&'a [u8], DerError> {
        let (found, contents) = self.any()?;
        if found == tag { Ok(contents) } else { Err(DerError) }
    }

    /// A reader of the contents of the next element, which must have this tag.
    pub(crate) fn nested(&mut self, tag: u8) -> Result<Self, DerError> {
        self.element(tag).map(Self::new)
    }

    /// The contents of the next element if it has this tag; nothing is taken otherwise.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, DerError> {
        if self.rest.first() == Some(&tag) { self.element(tag).map(Some) } else { Ok(None) }
    }

    /// Tag and contents of the next element. Lengths must be definite and in their shortest form, below 64 KiB. Tags
    /// have one byte: none that goes on in a second (number 31 and above) belongs into a certificate.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8]), DerError> {
        let (length, tag, rest) = match self.rest {
            [tag, length @ 0..=0x7f, rest @ ..] => (usize::from(*length), *tag, rest),
            [tag, 0x81, length @ 0x80..=0xff, rest @ ..] => (usize::from(*length), *tag, rest),
            [tag, 0x82, high @ 1..=0xff, low, rest @ ..] => {
                (usize::from(u16::from_be_bytes([*high, *low])), *tag, rest)
            }
            _ => return Err(DerError),
        };
        if tag & 0x1f == 0x1f {
            return Err(DerError);
        }
        let (contents, rest) = rest.split_at_checked(length).ok_or(DerError)?;
        self.rest = rest;
        Ok((tag, contents))
    }

    /// An INTEGER's contents: at least a byte, and none that could be left out (X.690, section 8.3).
    pub(crate) fn integer(&mut self) -> Result<&'a [u8], DerError> {
        match self.element(INTEGER)? {
            [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(DerError),
            integer => Ok(integer),
        }
    }

    /// An OBJECT IDENTIFIER's contents: whole numbers in base 128, none with a leading zero (X.690, section 8.19).
    pub(crate) fn oid(&mut self) -> Result<&'a [u8], DerError> {
        let oid = self.element(OID)?;
        let mut starts = true;
        for byte in oid {
            if starts && *byte == 0x80 {
                return Err(DerError);
            }
            starts = *byte < 0x80;
        }
        if oid.is_empty() || !starts { Err(DerError) } else { Ok(oid) }
    }

    /// A BOOLEAN DEFAULT FALSE: absent, or TRUE in its one encoding.
    pub(crate) fn default_false(&mut self) -> Result<bool, DerError> {
        match self.optional(BOOLEAN)? {
            None => Ok(false),
            Some([0xff]) => Ok(true),
            Some(_) => Err(DerError),
        }
    }

    /// Whether nothing is left.
    pub(crate) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), DerError> {
        if self.at_end() { Ok(()) } else { Err(DerError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_one_form() {
        assert_eq!(Der::new(&[4, 1, 9]).element(OCTET_STRING), Ok([9].as_slice()));
        let long = [[0x04, 0x81, 0x80].as_slice(), &[7; 128]].concat();
        assert_eq!(Der::new(&long).element(OCTET_STRING).unwrap().len(), 128);
        for bad in [
            [4, 0x81, 1, 9, 0].as_slice(),
            &[4, 0x82, 0, 1, 9],
            &[4, 0x80, 0, 0],
            &[4, 0x83, 0, 0, 1, 9],
            &[4, 2, 9],
            &[4],
            &[],
        ] {
            assert_eq!(Der::new(bad).element(OCTET_STRING), Err(DerError), "{bad:?}");
        }
    }

    #[test]
    fn true_has_one_form_and_false_is_left_out() {
        assert_eq!(Der::new(&[]).default_false(), Ok(false));
        assert_eq!(Der::new(&[1, 1, 0xff]).default_false(), Ok(true));
        assert_eq!(Der::new(&[1, 1, 1]).default_false(), Err(DerError));
        assert_eq!(Der::new(&[1, 1, 0]).default_false(), Err(DerError));
    }
}
