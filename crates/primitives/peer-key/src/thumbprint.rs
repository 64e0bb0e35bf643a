//! A key's name.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::PeerKey;

/// SHA-256 of a key's JWK (RFC 7638; OKP and X25519 by RFC 8037), written in base64url without padding, 43 characters: the `jkt`
/// of a `cnf` claim (RFC 9449 section 6.1), and how devices are named to people.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Thumbprint([u8; 32]);

/// A text that is no [`Thumbprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device's thumbprint is 43 letters, digits, - and _")]
pub struct BadThumbprint;

impl From<&PeerKey> for Thumbprint {
    fn from(key: &PeerKey) -> Self {
        let x = URL_SAFE_NO_PAD.encode(key.bytes());
        let canonical = format!(r#"{{"crv":"X25519","kty":"OKP","x":"{x}"}}"#);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, canonical.as_bytes()).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Thumbprint(..)")
    }
}

impl FromStr for Thumbprint {
    type Err = BadThumbprint;

    fn from_str(text: &str) -> Result<Self, BadThumbprint> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadThumbprint)?;
        bytes.try_into().map(Self).map_err(|_| BadThumbprint)
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = BadThumbprint;

    fn try_from(text: String) -> Result<Self, BadThumbprint> {
        text.parse()
    }
}

impl From<Thumbprint> for String {
    fn from(thumbprint: Thumbprint) -> Self {
        thumbprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7748 section 6.1's key of Alice; the thumbprint by Python's hashlib and base64.
    const ALICE: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
    const THUMBPRINT: &str = "u809Vppx5ixWMOohxWr2aM3m5bD0LQ67g_GPmubQus4";

    #[test]
    fn a_key_has_one_thumbprint_with_one_spelling() {
        let key: PeerKey = ALICE.parse().unwrap();
        let thumbprint = Thumbprint::from(&key);
        assert_eq!(
            (thumbprint.to_string(), key.thumbprint()),
            (THUMBPRINT.into(), THUMBPRINT.into())
        );
        assert_eq!(THUMBPRINT.parse(), Ok(thumbprint));
        let last = THUMBPRINT.len() - 1;
        for wrong in [
            "",
            &THUMBPRINT[1..],
            &format!("{THUMBPRINT}="),
            &format!("{THUMBPRINT}A"),
            &format!(" {THUMBPRINT}"),
            // The last character has bits that mean nothing.
            &format!("{}{}", &THUMBPRINT[..last], char::from(THUMBPRINT.as_bytes()[last] + 1)),
            &THUMBPRINT.replacen(char::is_alphanumeric, "+", 1),
        ] {
            assert_eq!(wrong.parse::<Thumbprint>(), Err(BadThumbprint), "{wrong}");
        }
        assert_eq!(format!("{thumbprint:?}"), "Thumbprint(..)");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in any::<[u8; 32]>()) {
            let thumbprint = Thumbprint(bytes);
            prop_assert_eq!(thumbprint.to_string().parse(), Ok(thumbprint));
            let json = serde_json::to_string(&thumbprint).unwrap();
            prop_assert_eq!(serde_json::from_str::<Thumbprint>(&json).unwrap(), thumbprint);
        }
    }
}
