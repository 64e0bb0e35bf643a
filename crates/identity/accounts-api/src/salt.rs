//! The salt of an account.

use encoding::Base64Url;
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 16 random bytes that belong to an account for ever. Its holder derives keys from an Access Code with them, so that nobody can
/// try codes who hasn't logged in. Base64url in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccountSalt([u8; 16]);

impl AccountSalt {
    /// A fresh salt.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The salt with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Debug for AccountSalt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountSalt(..)")
    }
}

impl Serialize for AccountSalt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Base64Url(self.0.to_vec()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AccountSalt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = Base64Url::deserialize(from)?.0.try_into();
        bytes.map(Self).map_err(|_| serde::de::Error::custom("a salt has 16 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_sixteen_bytes_of_text() {
        let salt = AccountSalt::from_bytes([9; 16]);
        let text = serde_json::to_string(&salt).unwrap();
        assert_eq!(text, "\"CQkJCQkJCQkJCQkJCQkJCQ\"");
        assert_eq!(serde_json::from_str::<AccountSalt>(&text).unwrap(), salt);
        assert!(serde_json::from_str::<AccountSalt>("\"CQkJ\"").is_err());
    }
}
