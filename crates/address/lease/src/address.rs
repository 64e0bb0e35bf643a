//! What is leased: an exit address in a region, under a lease's id.

use std::fmt;
use std::net::IpAddr;
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
    /// Not 1 to 32 of `a-z`, `0-9` and `-`.
    #[error("a region's name is 1 to 32 lower-case letters, digits and hyphens")]
    Region,
    /// Not 32 hexadecimal digits.
    #[error("a lease's id is 32 hexadecimal digits")]
    Lease,
}

/// An address that traffic leaves from: IPv4 or IPv6, unicast.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "IpAddr", into = "IpAddr")]
pub struct ExitAddress(IpAddr);

impl ExitAddress {
    /// The address as the standard library has it.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// 4 or 16 bytes in network order: the form that stores keep.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self.0 {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        }
    }

    /// The address with these 4 or 16 bytes.
    ///
    /// # Errors
    /// [`ParseError::Address`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            Self::try_from(IpAddr::from(four))
        } else if let Ok(sixteen) = <[u8; 16]>::try_from(bytes) {
            Self::try_from(IpAddr::from(sixteen))
        } else {
            Err(ParseError::Address)
        }
    }
}

impl TryFrom<IpAddr> for ExitAddress {
    type Error = ParseError;

    fn try_from(address: IpAddr) -> Result<Self, ParseError> {
        let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || broadcast {
            return Err(ParseError::Address);
        }
        Ok(Self(address))
    }
}

impl From<ExitAddress> for IpAddr {
    fn from(address: ExitAddress) -> Self {
        address.0
    }
}

impl FromStr for ExitAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse::<IpAddr>().map_err(|_| ParseError::Address)?.try_into()
    }
}

impl fmt::Display for ExitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ExitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExitAddress(..)")
    }
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
    fn only_a_hosts_address_is_one() {
        for text in ["203.0.113.7", "127.0.0.77", "2001:db8::1"] {
            let address: ExitAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(ExitAddress::from_bytes(&address.bytes()), Ok(address));
        }
        for text in ["", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "1.2.3", "x"] {
            assert_eq!(text.parse::<ExitAddress>(), Err(ParseError::Address), "{text}");
        }
        assert_eq!(ExitAddress::from_bytes(&[1, 2, 3]), Err(ParseError::Address));
    }

    #[test]
    fn names_and_ids_parse_strictly() {
        assert_eq!("eu-1".parse::<Region>().unwrap().as_str(), "eu-1");
        for name in ["", "EU", "a b", &"a".repeat(33)] {
            assert_eq!(name.parse::<Region>(), Err(ParseError::Region));
        }
        let id = LeaseId::from_bytes([3; 16]);
        assert_eq!(id.to_hex().parse(), Ok(id));
        assert_eq!("03".parse::<LeaseId>(), Err(ParseError::Lease));
        assert_eq!(
            format!("{id:?} {:?}", ExitAddress::from_bytes(&[1; 4]).unwrap()),
            "LeaseId(..) ExitAddress(..)"
        );
    }
}
