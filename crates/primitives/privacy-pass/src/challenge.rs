//! What an origin asks for (RFC 9577 section 2.1).

use crate::codec::{DecodeError, Reader};
use crate::hash::{ChallengeDigest, sha256};
use crate::{TOKEN_TYPE, codec};

/// A challenge for a token of type 0x0002. On the wire (`u16` and all lengths big-endian):
///
/// ```text
/// u16  token_type = 0x0002
/// u16  length, then issuer_name: 1 to 65,535 bytes of ASCII
/// u8   length, then redemption_context: 0 or 32 bytes
/// u16  length, then origin_info: ASCII names with commas between, or nothing
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenChallenge {
    issuer_name: String,
    redemption_context: Option<[u8; 32]>,
    origin_info: String,
}

impl TokenChallenge {
    /// A challenge for tokens of `issuer_name`, good at `origins` only (at any origin if there are
    /// none). Names are printable ASCII without commas, and not empty.
    pub fn new(
        issuer_name: &str,
        redemption_context: Option<[u8; 32]>,
        origins: &[&str],
    ) -> Result<Self, ChallengeError> {
        let is_name = |name: &str| !name.is_empty() && is_printable(name) && !name.contains(',');
        if !is_name(issuer_name) || !origins.iter().all(|origin| is_name(origin)) {
            return Err(ChallengeError::Name);
        }
        let origin_info = origins.join(",");
        if issuer_name.len() > usize::from(u16::MAX) || origin_info.len() > usize::from(u16::MAX) {
            return Err(ChallengeError::TooLong);
        }
        Ok(Self { issuer_name: issuer_name.to_owned(), redemption_context, origin_info })
    }

    /// Reads the wire form; every byte has to belong to it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.token_type()?;
        let length = reader.u16()?;
        let issuer_name = text(reader.bytes(length.into())?)?;
        let redemption_context = match reader.u8()? {
            0 => None,
            32 => Some(reader.array()?),
            _ => return Err(DecodeError::Length),
        };
        let length = reader.u16()?;
        let origin_info = text(reader.bytes(length.into())?)?;
        reader.end()?;
        if issuer_name.is_empty() {
            return Err(DecodeError::Name);
        }
        Ok(Self { issuer_name, redemption_context, origin_info })
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Lengths fit: `new` and `decode` saw to it.
        let length = |text: &str| (text.len() as u16).to_be_bytes();
        let context = self.redemption_context.as_ref().map_or(&[][..], |context| context);
        [
            &TOKEN_TYPE.to_be_bytes(),
            &length(&self.issuer_name)[..],
            self.issuer_name.as_bytes(),
            &[context.len() as u8],
            context,
            &length(&self.origin_info),
            self.origin_info.as_bytes(),
        ]
        .concat()
    }

    /// The challenge in the form that URLs and headers carry: base64url with padding.
    #[must_use]
    pub fn to_base64url(&self) -> String {
        codec::encode_base64url(&self.encode())
    }

    /// SHA-256 of the wire form: what a token is bound to.
    #[must_use]
    pub fn digest(&self) -> ChallengeDigest {
        ChallengeDigest::from_bytes(sha256(&self.encode()))
    }

    /// Whose token is wanted.
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.issuer_name
    }

    /// What the token is for, as a hash; nothing if it isn't bound to anything.
    #[must_use]
    pub const fn redemption_context(&self) -> Option<&[u8; 32]> {
        self.redemption_context.as_ref()
    }

    /// Where the token is good; nowhere named is everywhere.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.origin_info.split(',').filter(|origin| !origin.is_empty())
    }
}

/// Why a challenge could not be made of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// A name is empty, not printable ASCII, or contains a comma.
    #[error("an issuer's or origin's name must be printable ASCII without commas")]
    Name,
    /// The names don't fit.
    #[error("names of more than 65,535 bytes don't fit")]
    TooLong,
}

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    let text = str::from_utf8(bytes).map_err(|_| DecodeError::Name)?;
    if is_printable(text) { Ok(text.to_owned()) } else { Err(DecodeError::Name) }
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["", "a,b", "ä", "a b", "a\n"] {
            assert_eq!(TokenChallenge::new(name, None, &[]), Err(ChallengeError::Name), "{name:?}");
            assert_eq!(
                TokenChallenge::new("issuer", None, &["origin", name]),
                Err(ChallengeError::Name)
            );
        }
        let long = "a".repeat(65_536);
        assert_eq!(TokenChallenge::new(&long, None, &[]), Err(ChallengeError::TooLong));
        assert!(TokenChallenge::new(&long[1..], None, &[&long[1..]]).is_ok());
    }

    #[test]
    fn wrong_bytes_are_refused() {
        let good = TokenChallenge::new("issuer", Some([9; 32]), &["a", "b"]).unwrap();
        let bytes = good.encode();
        assert_eq!(TokenChallenge::decode(&bytes).as_ref(), Ok(&good));
        assert_eq!(good.origins().collect::<Vec<_>>(), ["a", "b"]);
        for length in 0..bytes.len() {
            assert_eq!(TokenChallenge::decode(&bytes[..length]), Err(DecodeError::Length));
        }
        let trailing = [&bytes[..], &[0]].concat();
        assert_eq!(TokenChallenge::decode(&trailing), Err(DecodeError::Length));
        let mut other_type = bytes.clone();
        other_type[1] = 1;
        assert_eq!(TokenChallenge::decode(&other_type), Err(DecodeError::TokenType(1)));
        let empty_name = [0, 2, 0, 0, 0, 0, 0];
        assert_eq!(TokenChallenge::decode(&empty_name), Err(DecodeError::Name));
        let short_context = [0, 2, 0, 1, b'i', 1, 7, 0, 0];
        assert_eq!(TokenChallenge::decode(&short_context), Err(DecodeError::Length));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            issuer in "[!-+--~]{1,40}",
            context in prop::option::of(any::<[u8; 32]>()),
            origins in prop::collection::vec("[!-+--~]{1,20}", 0..4),
        ) {
            let origins: Vec<&str> = origins.iter().map(String::as_str).collect();
            let challenge = TokenChallenge::new(&issuer, context, &origins).unwrap();
            let again = TokenChallenge::decode(&challenge.encode()).unwrap();
            prop_assert_eq!(again.origins().collect::<Vec<_>>(), origins);
            prop_assert_eq!(again, challenge);
        }

        #[test]
        fn what_is_read_is_written(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = [&[0, 2, 0][..], &bytes].concat();
            if let Ok(challenge) = TokenChallenge::decode(&bytes) {
                prop_assert_eq!(challenge.encode(), bytes);
            }
        }
    }
}
