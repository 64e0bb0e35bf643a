//! What a provider has to say to whoever holds a lease.
//!
//! A provider doesn't know who that is, so a notice waits with the lease and travels inside an order to the enclave, which
//! seals it to the lease's holder at the next refresh. Nobody else gets to read that there was one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a notice's text at most: with everything else it must fit into an order, which is a token of 2,048 bytes at most.
pub const LONGEST_NOTICE: usize = 400;
/// Bytes of a notice's reference at most.
pub const LONGEST_REFERENCE: usize = 32;

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The provider's name for the case. Whoever tells it to support tells support which case is theirs.
    pub reference: Reference,
    /// What there is to say.
    pub text: NoticeText,
}

impl Notice {
    /// What is said of a lease that was frozen without a word.
    #[must_use]
    pub fn frozen() -> Self {
        let text = "The provider has frozen this lease. Ask its support why.";
        Self { reference: Reference("none".to_owned()), text: NoticeText(text.to_owned()) }
    }
}

/// Why a text can't be part of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoticeError {
    /// Empty, too long, or with characters that a terminal would act on.
    #[error("a notice is 1 to {LONGEST_NOTICE} bytes of text, without control characters")]
    Text,
    /// Not 1 to 32 of the characters of a reference.
    #[error("a reference is 1 to {LONGEST_REFERENCE} letters, digits, dots, hyphens and slashes")]
    Reference,
}

/// A notice's text: 1 to [`LONGEST_NOTICE`] bytes of UTF-8, without control characters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NoticeText(String);

/// A case's name: 1 to [`LONGEST_REFERENCE`] ASCII letters, digits, dots, hyphens and slashes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference(String);

impl TryFrom<String> for NoticeText {
    type Error = NoticeError;

    fn try_from(text: String) -> Result<Self, NoticeError> {
        // A right-to-left override, say, makes a terminal show another text than the one that was written.
        let acts = |letter: char| {
            letter.is_control()
                || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        if (1..=LONGEST_NOTICE).contains(&text.len()) && !text.chars().any(acts) {
            Ok(Self(text))
        } else {
            Err(NoticeError::Text)
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = NoticeError;

    fn try_from(text: String) -> Result<Self, NoticeError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'/');
        if (1..=LONGEST_REFERENCE).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text))
        } else {
            Err(NoticeError::Reference)
        }
    }
}

macro_rules! text {
    ($of:ty) => {
        impl From<$of> for String {
            fn from(text: $of) -> Self {
                text.0
            }
        }

        impl std::str::FromStr for $of {
            type Err = NoticeError;

            fn from_str(text: &str) -> Result<Self, NoticeError> {
                Self::try_from(text.to_owned())
            }
        }

        impl fmt::Display for $of {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $of {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($of), "(..)"))
            }
        }
    };
}

text!(NoticeText);
text!(Reference);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_plain_text_of_bounded_length() {
        for good in ["x", "Mail to 25 ports a minute — please stop.", &"é".repeat(200)] {
            assert_eq!(good.parse::<NoticeText>().unwrap().to_string(), good);
        }
        for wrong in ["", "a\nb", "\u{1b}[2J", "\u{202e}abc", &"x".repeat(401), &"é".repeat(201)] {
            assert_eq!(wrong.parse::<NoticeText>(), Err(NoticeError::Text), "{wrong:?}");
        }
        for wrong in ["", "a b", "é", &"1".repeat(33)] {
            assert_eq!(wrong.parse::<Reference>(), Err(NoticeError::Reference), "{wrong:?}");
        }
        let frozen = serde_json::to_string(&Notice::frozen()).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&frozen).unwrap(), Notice::frozen());
        let notice =
            Notice { reference: "2026/17-a".parse().unwrap(), text: "stop".parse().unwrap() };
        let json = serde_json::to_string(&notice).unwrap();
        assert_eq!(json, r#"{"reference":"2026/17-a","text":"stop"}"#);
        assert_eq!(serde_json::from_str::<Notice>(&json).unwrap(), notice);
        assert_eq!(
            format!("{notice:?}"),
            "Notice { reference: Reference(..), text: NoticeText(..) }"
        );
    }
}
