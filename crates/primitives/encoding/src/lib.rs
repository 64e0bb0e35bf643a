//! Bytes as text in JSON: base64url without padding (RFC 4648 section 5), the one canonical form.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are base64url in JSON. Its `Debug` shows how many: they are sealed requests and blinded messages as a rule.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Base64Url(pub Vec<u8>);

impl fmt::Debug for Base64Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64Url({} bytes)", self.0.len())
    }
}

impl Base64Url {
    /// The text.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// The bytes behind `text`; nothing when it isn't canonical base64url.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok().map(Self)
    }
}

impl From<Vec<u8>> for Base64Url {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Base64Url {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::from_text(&text).ok_or_else(|| serde::de::Error::custom("not base64url"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_read() {
        assert_eq!(serde_json::to_string(&Base64Url(vec![0xfb, 0xff])).unwrap(), "\"-_8\"");
        assert_eq!(Base64Url::from_text("-_8"), Some(Base64Url(vec![0xfb, 0xff])));
        for wrong in ["-_8=", "+/8", "-_9", "-_", "-_8 ", "é"] {
            assert_eq!(Base64Url::from_text(wrong), None, "{wrong}");
        }
    }
}
