//! What messages are made of: bytes of fixed length, base64url in JSON. None has a `Debug` that shows them.

use aws_lc_rs::digest::{Context, SHA256};
use encoding::Base64Url;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::BLOB_SIZE;

const LOCATOR_LABEL: &[u8] = b"cloakroom v1 backup locator";

/// Where a backup is kept: what the key that writes it hashes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Locator([u8; 32]);

/// A public Ed25519 key (RFC 8032) that writes one backup.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WriteKey([u8; 32]);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// A sealed backup. It stays on the heap wherever it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(Box<[u8; BLOB_SIZE]>);

impl Locator {
    /// The locator that belongs to a key: SHA-256 of a label and the key.
    #[must_use]
    pub fn of(key: &WriteKey) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(LOCATOR_LABEL);
        hash.update(&key.0);
        let mut locator = [0; 32];
        locator.copy_from_slice(hash.finish().as_ref());
        Self(locator)
    }
}

impl Blob {
    /// The backup with these bytes; nothing when they are of another length.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        bytes.into_boxed_slice().try_into().ok().map(Self)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; BLOB_SIZE] {
        &self.0
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Base64Url(self.0.to_vec()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(Base64Url::deserialize(from)?.0)
            .ok_or_else(|| D::Error::custom("a backup is of another size"))
    }
}

macro_rules! small {
    ($name:ident, $length:literal) => {
        impl $name {
            #[doc = concat!("The value with these ", $length, " bytes.")]
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            #[doc = concat!("The ", $length, " bytes.")]
            #[must_use]
            pub const fn bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Base64Url(self.0.to_vec()).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let bytes = Base64Url::deserialize(from)?.0.try_into();
                bytes.map(Self).map_err(|_| D::Error::custom("of another length"))
            }
        }
    };
}

small!(Locator, 32);
small!(WriteKey, 32);
small!(Signature, 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_length_is_read() {
        let text = |length: usize| serde_json::to_string(&Base64Url(vec![7; length])).unwrap();
        fn reads<T: for<'de> Deserialize<'de> + Serialize>(text: &str) -> bool {
            let read = serde_json::from_str::<T>(text);
            read.is_ok_and(|read| serde_json::to_string(&read).unwrap() == text)
        }
        for length in [0, 31, 32, 33, 63, 64, 65, BLOB_SIZE - 1, BLOB_SIZE, BLOB_SIZE + 1] {
            assert_eq!(reads::<Locator>(&text(length)), length == 32);
            assert_eq!(reads::<WriteKey>(&text(length)), length == 32);
            assert_eq!(reads::<Signature>(&text(length)), length == 64);
            assert_eq!(reads::<Blob>(&text(length)), length == BLOB_SIZE);
        }
    }

    #[test]
    fn each_key_has_its_own_locator() {
        let locator = |byte| Locator::of(&WriteKey::from_bytes([byte; 32]));
        assert!(locator(1) == locator(1) && locator(1) != locator(2));
        // `{ printf 'cloakroom v1 backup locator'; head -c 32 /dev/zero; } | sha256sum`
        let zeros = "133bacaabaa25b047b1fdadd7cc824e98ddeb5bb293b2e052e8db199c074fc7b";
        let hex: String = locator(0).bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, zeros);
    }
}
