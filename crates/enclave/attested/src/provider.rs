//! `provider.json`: the one file that a client trusts.
//!
//! It is a JWS in the flattened JSON form (RFC 7515 section 7.2.2) that carries the signer's public key. A client
//! takes it in once on its user's word, pins the signer, and takes later ones from that signer, or the successor that it named, only.

use std::collections::BTreeMap;
use std::time::Duration;

use coarse::UnixTime;
use epoch_keys::{Purpose, TreePin};
use jws::{Claims, Expect, KeyId, KeySet, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use wire::BootConfiguration;

/// What a provider says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The provider's name, for people.
    pub name: String,
    /// Where its services are.
    pub urls: Urls,
    /// The Privacy Pass issuer's name.
    pub issuer_name: String,
    /// The origin that `dedicated-ip` tokens are made for.
    pub origin: String,
    /// One tree of epoch keys for each purpose.
    pub trees: Vec<TreePin>,
    /// The enclave.
    pub enclave: EnclavePin,
    /// Where one's identity services are reached, as `host:port`: gateways refuse these destinations.
    pub identity_endpoints: Vec<String>,
    /// Other enclaves that may be believed as well: while a release, or the keys that the enclave believes, are changed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_enclaves: Vec<EnclavePin>,
    /// How this file is followed by later ones.
    #[serde(default)]
    pub update: Update,
}

/// How a provider's file is followed by later ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Grows with every file: an older one is refused.
    #[serde(default)]
    pub serial: u64,
    /// Where the newest file is to be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When this file ends, in seconds since 1970: whoever is kept from newer ones believes it no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixTime>,
    /// The key that may sign in place of this file's signer. Once named it can't be changed by that signer, so that a thief of the signer's key
    /// can't keep its owner from moving on to the successor, whose secret is kept elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<KeyId>,
}

/// Base URLs of the services that clients reach; a gateway's comes with each assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Urls {
    /// Accounts (identity side).
    pub accounts: String,
    /// The blind token service (identity side).
    pub blind_token_service: String,
    /// The enclave's parent (address side); for `/attestation` alone.
    pub enclave: String,
    /// The DIP service (address side).
    pub dip_service: String,
    /// The backup service (address side), if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

/// The enclave that may be believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnclavePin {
    /// The attestation root, DER; base64 in the file.
    #[serde(with = "base64_text")]
    pub root: Vec<u8>,
    /// PCR index to 96 hexadecimal digits.
    pub pcrs: BTreeMap<u8, Pcr>,
    /// The boot configuration's exact text.
    pub boot_configuration: String,
}

/// One PCR: 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pcr(#[serde(with = "hex::serde")] pub [u8; 48]);

impl EnclavePin {
    /// How old an attestation may be.
    pub const MAX_AGE: Duration = Duration::from_secs(300);

    /// The pinned PCRs.
    #[must_use]
    pub fn pcrs(&self) -> BTreeMap<u8, [u8; 48]> {
        self.pcrs.iter().map(|(index, pcr)| (*index, pcr.0)).collect()
    }

    /// The boot configuration, parsed.
    ///
    /// # Errors
    /// [`ProviderError::Content`].
    pub fn boot_configuration(&self) -> Result<BootConfiguration, ProviderError> {
        serde_json::from_str(&self.boot_configuration).map_err(|_| ProviderError::Content)
    }

    /// Whether the root's own subject says that it is for development and not to be trusted.
    #[must_use]
    pub fn is_untrusted_development(&self) -> bool {
        nitro::is_untrusted_development(&self.root)
    }
}

/// Why a provider's file is refused.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderError {
    /// Not a JWS in flattened JSON form with a public key in its header.
    #[error("this is not a provider's file")]
    Form,
    /// The signature doesn't hold.
    #[error("the provider's file is not signed by the key that it names ({0})")]
    Signature(jws::Error),
    /// What is signed makes no sense.
    #[error("the provider's file is signed, but its content is incomplete or contradicts itself")]
    Content,
    /// Signed by a key that neither signed nor was named as the successor by the file before.
    #[error("this file is signed by another key than the provider that you trust")]
    OtherSigner,
    /// Older than the file that is trusted.
    #[error(
        "this file is older than the one that you trust (its serial is {given}, yours {trusted})"
    )]
    Older {
        /// The refused file's serial.
        given: u64,
        /// The trusted file's serial.
        trusted: u64,
    },
    /// Two files with one serial: one of them isn't for everybody.
    #[error(
        "this file has the serial of the one that you trust, and says something else: ask your provider why"
    )]
    Equivocation,
    /// Names another successor than the file before.
    #[error(
        "this file names another successor of its signer than the one that you trust: its signer's key may be stolen"
    )]
    OtherSuccessor,
}

impl Claims for Provider {
    const TYPE: &'static str = "cloakroom-provider+jwt";
    const LONGEST: usize = 64 * 1024;
}

const ISSUER: &str = "provider";
const AUDIENCE: &str = "client";

/// The file's form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedProvider {
    protected: String,
    header: Unprotected,
    payload: String,
    signature: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unprotected {
    jwk: VerifyingKey,
}

impl SignedProvider {
    /// Signs a provider's file.
    ///
    /// # Errors
    /// [`ProviderError::Content`] when it would be too long, or is incomplete.
    pub fn sign(provider: &Provider, key: &SigningKey) -> Result<Self, ProviderError> {
        provider.check()?;
        let compact = jws::sign(key, ISSUER, &[AUDIENCE], None, provider)
            .map_err(|_| ProviderError::Content)?;
        let mut parts = compact.as_str().split('.').map(str::to_owned);
        let (Some(protected), Some(payload), Some(signature)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(ProviderError::Form);
        };
        let header = Unprotected { jwk: key.verifying_key().clone() };
        Ok(Self { protected, header, payload, signature })
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`ProviderError::Form`].
    pub fn parse(file: &[u8]) -> Result<Self, ProviderError> {
        serde_json::from_slice(file).map_err(|_| ProviderError::Form)
    }

    /// The file's text.
    ///
    /// # Errors
    /// [`ProviderError::Form`], which a value made by [`sign`](Self::sign) or [`parse`](Self::parse) doesn't give.
    pub fn to_json(&self) -> Result<String, ProviderError> {
        serde_json::to_string_pretty(self).map_err(|_| ProviderError::Form)
    }

    /// The name of the key that the file claims to be signed by; pin it.
    #[must_use]
    pub const fn signer(&self) -> &KeyId {
        self.header.jwk.id()
    }

    /// Checks signature and content.
    ///
    /// # Errors
    /// [`ProviderError::Signature`] or [`ProviderError::Content`].
    pub fn verify(&self) -> Result<Provider, ProviderError> {
        let compact = format!("{}.{}.{}", self.protected, self.payload, self.signature);
        let provider: Provider = jws::verify(
            &compact,
            &KeySet::from(&self.header.jwk),
            Expect { issuer: ISSUER, audience: AUDIENCE },
            UnixTime::from_seconds(0),
        )
        .map_err(ProviderError::Signature)?;
        provider.check()?;
        Ok(provider)
    }

    /// Whether this file may take the place of the `trusted` one: by the same signer or its named successor, no older, and not naming
    /// another successor than the same signer did before. A successor's files have serials of their own; nothing leads back.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub fn may_follow(&self, trusted: &Self) -> Result<(), ProviderError> {
        let (new, old) = (self.verify()?, trusted.verify()?);
        if self.signer() != trusted.signer() {
            let named = old.update.successor.as_ref() == Some(self.signer());
            return named.then_some(()).ok_or(ProviderError::OtherSigner);
        }
        let (given, trusted) = (new.update.serial, old.update.serial);
        if given < trusted {
            return Err(ProviderError::Older { given, trusted });
        }
        if given == trusted && new != old {
            return Err(ProviderError::Equivocation);
        }
        if old.update.successor.is_some() && new.update.successor != old.update.successor {
            return Err(ProviderError::OtherSuccessor);
        }
        Ok(())
    }
}

impl Provider {
    /// All enclaves that may be believed, the present one first.
    pub fn enclaves(&self) -> impl Iterator<Item = &EnclavePin> {
        [&self.enclave].into_iter().chain(&self.other_enclaves)
    }

    /// The keys that sign receipts of issuance for any of the enclaves.
    ///
    /// # Errors
    /// [`ProviderError::Content`].
    pub fn issuance_keys(&self) -> Result<KeySet, ProviderError> {
        let boots = self.enclaves().map(EnclavePin::boot_configuration);
        let boots = boots.collect::<Result<Vec<_>, _>>()?;
        Ok(KeySet::new(boots.iter().flat_map(|boot| boot.issuance_keys.iter().cloned())))
    }

    /// Whether the file has ended.
    #[must_use]
    pub fn has_expired(&self, now: UnixTime) -> bool {
        self.update.expires.is_some_and(|expires| expires <= now)
    }

    /// The tree that is pinned for `purpose`.
    #[must_use]
    pub fn tree(&self, purpose: Purpose) -> Option<&TreePin> {
        self.trees.iter().find(|tree| tree.purpose == purpose)
    }

    /// That the file is complete, names one tree a purpose, and agrees with each boot configuration.
    fn check(&self) -> Result<(), ProviderError> {
        let once = |purpose| self.trees.iter().filter(|tree| tree.purpose == purpose).count() <= 1;
        for enclave in self.enclaves() {
            let boot = enclave.boot_configuration()?;
            let agrees = self.issuer_name == boot.issuer_name
                && self.origin == boot.origin
                && self.tree(Purpose::DedicatedIp) == Some(&boot.tree)
                && enclave.pcrs.contains_key(&0);
            if !agrees {
                return Err(ProviderError::Content);
            }
        }
        let once = self.trees.iter().all(|tree| once(tree.purpose));
        once.then_some(()).ok_or(ProviderError::Content)
    }
}

mod base64_text {
    //! Bytes as base64 in JSON.

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}
