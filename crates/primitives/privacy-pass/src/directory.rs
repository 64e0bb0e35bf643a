//! The issuer's directory (RFC 9578 section 4): where to send requests, and for which keys.

use blind_rsa::{KeyError, PublicKey};
use coarse::UnixTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{TOKEN_TYPE, codec};

/// The JSON document of media type [`crate::MEDIA_TYPE_DIRECTORY`]. Unknown members are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct IssuerDirectory {
    /// Where to post requests: an absolute URL, or one relative to the directory's own.
    pub issuer_request_uri: String,
    /// The issuer's keys, preferred ones first; some may be of token types that we don't know.
    pub token_keys: Vec<DirectoryKey>,
}

/// One key of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DirectoryKey {
    token_type: u16,
    #[serde(serialize_with = "as_base64url", deserialize_with = "from_base64url")]
    token_key: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<UnixTime>,
}

impl DirectoryKey {
    /// An entry for a key of token type 0x0002, to be used from `not_before` on.
    #[must_use]
    pub fn new(key: &PublicKey, not_before: Option<UnixTime>) -> Self {
        Self { token_type: TOKEN_TYPE, token_key: key.spki(), not_before }
    }

    /// The key; `None` if it is of another token type.
    #[must_use]
    pub fn public_key(&self) -> Option<Result<PublicKey, KeyError>> {
        (self.token_type == TOKEN_TYPE).then(|| PublicKey::from_spki(&self.token_key))
    }

    /// From when on the issuer takes requests for it.
    #[must_use]
    pub const fn not_before(&self) -> Option<UnixTime> {
        self.not_before
    }
}

fn as_base64url<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&codec::encode_base64url(bytes))
}

fn from_base64url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    codec::decode_base64url(&text).ok_or_else(|| D::Error::custom("not base64url"))
}

#[cfg(test)]
mod tests {
    use blind_rsa::{AwsLcSigner, RawSigner};

    use super::*;

    #[test]
    fn a_directory_round_trips_as_json() {
        let signer = AwsLcSigner::generate(2048).unwrap();
        let key = signer.public_key();
        let directory = IssuerDirectory {
            issuer_request_uri: "/token-request".into(),
            token_keys: vec![DirectoryKey::new(key, Some(UnixTime::from_seconds(1_795_219_200)))],
        };
        let json = serde_json::to_value(&directory).unwrap();
        assert_eq!(json["issuer-request-uri"], "/token-request");
        assert_eq!(json["token-keys"][0]["token-type"], 2);
        assert_eq!(json["token-keys"][0]["not-before"], 1_795_219_200);
        let text = json["token-keys"][0]["token-key"].as_str().unwrap();
        assert!(text.starts_with("MIIBUjA9BgkqhkiG9w0BAQowMKANMAsGCWCGSAFlAwQCAqEa"), "{text}");
        let again: IssuerDirectory = serde_json::from_value(json).unwrap();
        assert_eq!(again, directory);
        assert_eq!(again.token_keys[0].public_key(), Some(Ok(key.clone())));
    }

    #[test]
    fn other_members_and_token_types_are_passed_over() {
        let json = r#"{"issuer-request-uri": "https://i.example/r", "more": 1, "token-keys": [
            {"token-type": 1, "token-key": "AAEC", "x": true},
            {"token-type": 2, "token-key": "AAE="}]}"#;
        let directory: IssuerDirectory = serde_json::from_str(json).unwrap();
        assert_eq!(directory.token_keys[0].public_key(), None);
        assert_eq!(directory.token_keys[1].public_key(), Some(Err(KeyError::Encoding)));
        assert_eq!(directory.token_keys[1].not_before(), None);
        let plain = json.replace("AAE=", "a+/b");
        assert!(serde_json::from_str::<IssuerDirectory>(&plain).is_err());
    }
}
