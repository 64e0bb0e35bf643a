//! The 32-byte hashes that the structures are named by. In JSON they are lower-case hex; a mark of a
//! token is as telling as the token, so `Debug` shows nothing of them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use blind_rsa::PublicKey;
use serde::{Deserialize, Serialize};

/// A text is not the hex form of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hex digits")]
pub struct HashError;

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// The hash with these bytes, as a peer or a table gave them.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl FromStr for $name {
            type Err = HashError;

            fn from_str(text: &str) -> Result<Self, HashError> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| HashError)?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = HashError;

            fn try_from(text: String) -> Result<Self, HashError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> Self {
                hash.to_string()
            }
        }
    };
}

hash! {
    /// The id of an issuer's key: SHA-256 of its SubjectPublicKeyInfo (RFC 9578 section 6.5).
    KeyId
}

hash! {
    /// SHA-256 of a token challenge (RFC 9577 section 2.2): what a token answers to.
    ChallengeDigest
}

hash! {
    /// What marks a token as spent: plain SHA-256 of the token's 354 bytes, which anybody who has the
    /// token can compute again (`sha256sum token.bin`).
    SpendHash
}

impl KeyId {
    /// The id of `key`.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self(sha256(&key.spki()))
    }

    /// The one byte of it that a request carries: the last (RFC 9578 section 6.1).
    #[must_use]
    pub const fn truncated(&self) -> u8 {
        self.0[31]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_hash() {
        let hash = SpendHash::from_bytes(sha256(b"abc"));
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<SpendHash>(&json).unwrap(), hash);
        for wrong in ["", &text[1..], &format!("{text}00"), &text.replace('b', "g")] {
            assert_eq!(wrong.parse::<SpendHash>(), Err(HashError));
        }
    }
}
