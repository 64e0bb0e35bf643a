//! What a lease is called, and where it is.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// Why text is none of these.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// Not an IP address that a single host can have.
    #[error("not an address that a host can have")]
    Address,
    /// An IPv4 address that is written as an IPv6 one.
    #[error("an IPv4 address is written as such, not as ::ffff:203.0.113.7")]
    Mapped,
    /// Not an IPv6 prefix that can be leased.
    #[error(
        "a leased prefix is an IPv6 one of 48 to 64 bits, with nothing set behind it: 2001:db8:1:2::/64"
    )]
    Prefix,
    /// An address or prefix in another form than its canonical one.
    #[error(
        "an address is written in its canonical form only (RFC 5952): lower-case and as short as can be"
    )]
    Canonical,
    /// Not 1 to 32 of `a-z`, `0-9` and `-`.
    #[error("a region's name is 1 to 32 lower-case letters, digits and hyphens")]
    Region,
    /// Not 32 hexadecimal digits.
    #[error("a lease's id is 32 hexadecimal digits")]
    Lease,
}

/// A lease's id: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(#[serde(with = "hex::serde")] [u8; 16]);

impl LeaseId {
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

    /// The 16 bytes: what stores keep, and what a refresh is bound to.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The 32 digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for LeaseId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseError::Lease)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseId(..)")
    }
}

/// A region's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

impl Region {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Region {
    type Error = ParseError;

    fn try_from(name: String) -> Result<Self, ParseError> {
        let letters = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=32).contains(&name.len()) && name.bytes().all(letters) {
            Ok(Self(name))
        } else {
            Err(ParseError::Region)
        }
    }
}

impl FromStr for Region {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        Self::try_from(name.to_owned())
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_parse_strictly() {
        assert_eq!("eu-1".parse::<Region>().unwrap().as_str(), "eu-1");
        for name in ["", "EU", "a b", &"a".repeat(33)] {
            assert_eq!(name.parse::<Region>(), Err(ParseError::Region));
        }
        let id = LeaseId::from_bytes([3; 16]);
        assert_eq!(id.to_hex().parse(), Ok(id));
        assert_eq!("03".parse::<LeaseId>(), Err(ParseError::Lease));
        assert_eq!(format!("{id:?}"), "LeaseId(..)");
    }
}
