//! Everything a wallet holds.

use accounts_api::{AccountNumber, AccountSalt};
use attested::{Provider, ProviderError, SignedProvider};
use coarse::{Hour, Secret, UnixTime};
use encoding::Base64Url;
use jws::Compact;
use peer_key::{PeerKey, PeerSecret};
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use crate::{Backup, Dip};

/// A person's wallet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wallet {
    /// The form of this file: 1.
    version: u32,
    /// Whom it trusts.
    pub trust: Option<Trust>,
    /// Who pays.
    pub account: Option<AccountNumber>,
    /// The number that the account is to have instead; accounts may know it already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_account: Option<AccountNumber>,
    /// The account's salt, once accounts has told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<AccountSalt>,
    /// The last subscription receipt.
    pub srt: Option<HeldSrt>,
    /// This device's tunnel key.
    pub device: DeviceKey,
    /// How far the dedicated IP has come.
    pub dip: Dip,
    /// The backup of its refresh token.
    #[serde(default, skip_serializing_if = "Backup::is_empty")]
    pub backup: Backup,
}

impl Wallet {
    /// An empty wallet with a fresh device key.
    #[must_use]
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        Self {
            version: 1,
            trust: None,
            account: None,
            next_account: None,
            salt: None,
            srt: None,
            device: DeviceKey(PeerSecret::random(rng)),
            dip: Dip::Nothing,
            backup: Backup::default(),
        }
    }

    /// Reads a wallet's file; nothing when it is damaged, or of a form that this program doesn't know.
    #[must_use]
    pub fn from_json(file: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(file).ok().filter(|wallet| wallet.version == 1)
    }

    /// The file's text, laid out for people. Full of secrets: it is wiped on drop.
    ///
    /// # Errors
    /// serde's, which no wallet gives.
    pub fn to_json(&self) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        serde_json::to_vec_pretty(self).map(Zeroizing::new)
    }
}

/// A provider that the user chose to trust.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// The provider's file, as it was taken in.
    pub file: SignedProvider,
    /// Whether the user accepted a root that calls itself untrusted.
    pub accepts_untrusted_development: bool,
}

impl Trust {
    /// The provider's file, verified anew.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub fn provider(&self) -> Result<Provider, ProviderError> {
        self.file.verify()
    }
}

/// A subscription receipt and its end.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldSrt {
    /// The token.
    pub srt: Compact,
    /// The hour at which it ends.
    pub ends: Hour,
}

impl HeldSrt {
    /// Whether it is good for another hour at least.
    #[must_use]
    pub fn is_fresh(&self, now: UnixTime) -> bool {
        now.hour().number() < self.ends.number().saturating_sub(1)
    }
}

/// The device's tunnel key, as the wallet's file keeps it: 32 bytes of base64url.
#[derive(Clone)]
pub struct DeviceKey(pub PeerSecret);

impl DeviceKey {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> PeerKey {
        self.0.public()
    }
}

impl Serialize for DeviceKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_secret(self.0.expose(), serializer)
    }
}

impl<'de> Deserialize<'de> for DeviceKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(PeerSecret::from_bytes(&deserialize_secret(from)?)))
    }
}

/// 32 secret bytes as base64url, with what was copied on the way wiped.
pub(crate) fn serialize_secret<S: Serializer>(
    secret: &[u8; 32],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut bytes = Base64Url(secret.to_vec());
    let written = bytes.serialize(serializer);
    bytes.0.zeroize();
    written
}

/// What [`serialize_secret`] wrote.
pub(crate) fn deserialize_secret<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Secret<32>, D::Error> {
    let mut bytes = Base64Url::deserialize(from)?;
    let secret = <[u8; 32]>::try_from(bytes.as_ref());
    bytes.0.zeroize();
    secret.map(Secret::new).map_err(|_| serde::de::Error::custom("a secret has 32 bytes"))
}
