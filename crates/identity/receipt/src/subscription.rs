//! Who pays: a subscription's id and version.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// Not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a subscription id is 32 hexadecimal digits")]
pub struct ParseError;

/// A subscription's id: 16 random bytes, written as 32 hexadecimal digits. It is what must never meet an address, so
/// it has no `Display`, and its `Debug` shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(#[serde(with = "hex::serde")] [u8; 16]);

impl SubscriptionId {
    /// A fresh id.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, for a store's key column.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The 32 digits, for an answer to the identity side.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for SubscriptionId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubscriptionId(..)")
    }
}

/// A subscription's version (the claim `did`): starts at 0, and a reset by support raises it by one, which
/// ends the refresh tokens of former versions.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SubscriptionVersion(u32);

impl SubscriptionVersion {
    /// The version with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The version after a reset.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_parse_strictly_and_print_nothing() {
        let id = SubscriptionId::from_bytes([0xab; 16]);
        assert_eq!(id.to_hex().parse(), Ok(id));
        assert_eq!("ab".parse::<SubscriptionId>(), Err(ParseError));
        assert_eq!("zz".repeat(16).parse::<SubscriptionId>(), Err(ParseError));
        assert_eq!(format!("{id:?}"), "SubscriptionId(..)");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{}\"", id.to_hex()));
    }
}
