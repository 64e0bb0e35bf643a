//! Ed25519 keys in the forms of RFC 7517 (JWK, JWKS), RFC 7638 (thumbprint) and RFC 8037 (OKP).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coarse::Secret;
use serde::{Deserialize, Serialize};

/// A key's name: the RFC 7638 thumbprint (SHA-256, base64url) of its JWK.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why bytes are no Ed25519 key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Another key type, curve, algorithm or use than `OKP`, `Ed25519`, `EdDSA`, `sig`.
    #[error("the key is not an Ed25519 signing key")]
    NotEd25519,
    /// Not 32 bytes of base64url.
    #[error("the key's value is not 32 bytes of base64url")]
    Encoding,
    /// The `kid` isn't the key's thumbprint.
    #[error("the key's name is not its thumbprint")]
    Name,
    /// The cryptographic library refused the seed.
    #[error("the seed was refused by the cryptographic library")]
    Seed,
}

/// A private Ed25519 key. It has no `Debug` and can't be read back; keep its seed where keys are kept.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key that RFC 8032 derives from `seed`.
    ///
    /// # Errors
    /// [`KeyError::Seed`] when the library refuses it (it accepts every 32 bytes).
    pub fn from_seed(seed: &Secret<32>) -> Result<Self, KeyError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| KeyError::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Seed)?;
        Ok(Self { pair, public: VerifyingKey::from_bytes(public) })
    }

    /// The public half.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The 64-byte Ed25519 signature of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// A public Ed25519 key and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    bytes: [u8; 32],
    id: KeyId,
}

impl VerifyingKey {
    /// The key with this RFC 8032 encoding. Whether it is a point is found out at verification.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let x = URL_SAFE_NO_PAD.encode(bytes);
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        Self { bytes, id: KeyId(id) }
    }

    /// The 32 bytes of RFC 8032.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key's name.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.bytes).verify(message, signature).is_ok()
    }
}

/// A public key as RFC 7517 writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    kty: String,
    crv: String,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
}

impl From<&VerifyingKey> for Jwk {
    fn from(key: &VerifyingKey) -> Self {
        Self {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            x: URL_SAFE_NO_PAD.encode(key.bytes),
            kid: Some(key.id.0.clone()),
            alg: Some("EdDSA".into()),
            usage: Some("sig".into()),
        }
    }
}

impl TryFrom<&Jwk> for VerifyingKey {
    type Error = KeyError;

    fn try_from(jwk: &Jwk) -> Result<Self, KeyError> {
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.alg.as_deref().is_none_or(|alg| matches!(alg, "EdDSA" | "Ed25519"));
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" || !signs {
            return Err(KeyError::NotEd25519);
        }
        let bytes = URL_SAFE_NO_PAD.decode(&jwk.x).map_err(|_| KeyError::Encoding)?;
        let key = Self::from_bytes(bytes.try_into().map_err(|_| KeyError::Encoding)?);
        match &jwk.kid {
            Some(kid) if *kid != key.id.0 => Err(KeyError::Name),
            _ => Ok(key),
        }
    }
}

impl Serialize for VerifyingKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Jwk::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for VerifyingKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let jwk = Jwk::deserialize(deserializer)?;
        Self::try_from(&jwk).map_err(serde::de::Error::custom)
    }
}

/// The keys that may have signed a kind of token: a JWKS (RFC 7517 section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
}

impl KeySet {
    /// A set of these keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        Self { keys: keys.into_iter().collect() }
    }

    /// The key with this name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.id.0 == id)
    }

    /// All keys, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }
}

impl From<&VerifyingKey> for KeySet {
    fn from(key: &VerifyingKey) -> Self {
        Self::new([key.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.1 to A.3: key, public JWK, thumbprint.
    #[test]
    fn the_rfcs_key_has_the_rfcs_thumbprint() {
        let seed: [u8; 32] = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap()
            .try_into()
            .unwrap();
        let key = SigningKey::from_seed(&Secret::new(seed)).unwrap();
        let jwk = Jwk::from(key.verifying_key());
        assert_eq!(jwk.x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(
            key.verifying_key().id().as_str(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn other_keys_are_refused() {
        let good = Jwk::from(&VerifyingKey::from_bytes([7; 32]));
        let refuse = |change: fn(&mut Jwk)| {
            let mut jwk = good.clone();
            change(&mut jwk);
            VerifyingKey::try_from(&jwk).unwrap_err()
        };
        assert!(VerifyingKey::try_from(&good).is_ok());
        assert_eq!(refuse(|k| k.crv = "X25519".into()), KeyError::NotEd25519);
        assert_eq!(refuse(|k| k.kty = "EC".into()), KeyError::NotEd25519);
        assert_eq!(refuse(|k| k.usage = Some("enc".into())), KeyError::NotEd25519);
        assert_eq!(refuse(|k| k.alg = Some("HS256".into())), KeyError::NotEd25519);
        assert_eq!(refuse(|k| k.x.push('A')), KeyError::Encoding);
        assert_eq!(refuse(|k| k.kid = Some("mine".into())), KeyError::Name);
    }
}
