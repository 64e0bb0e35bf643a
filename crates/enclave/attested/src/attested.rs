//! From what `/attestation` returns to an enclave that may be believed.

use coarse::UnixTime;
use encoding::Base64Url;
use jws::{KeySet, VerifyingKey};
use nitro::{Expectations, Report};
use seal::SealingKey;
use serde::{Deserialize, Serialize};

use wire::BootConfiguration;

use crate::EnclavePin;

/// How long a nonce we ask with is, in bytes.
pub const NONCE_LEN: usize = 32;

/// What `GET /attestation?nonce=HEX` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The attestation document, base64url.
    pub document: Base64Url,
    /// The boot configuration's exact bytes, base64url.
    pub boot_configuration: Base64Url,
    /// The public key by which the enclave mints.
    pub minting_key: VerifyingKey,
    /// The public keys by which it minted before, and whose tokens are still good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_minting_keys: Vec<VerifyingKey>,
}

/// An enclave whose document, configuration and keys were checked. There is no other way to a minting key.
#[derive(Clone, Debug)]
pub struct Attested {
    /// What requests are sealed to.
    pub sealing_key: SealingKey,
    /// What verifies the tokens and grants it signs and signed; the key by which it mints now comes first.
    pub minting_keys: KeySet,
    /// The module's own time, in milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// Why an enclave isn't believed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttestationError {
    /// The document failed a check.
    #[error("the attestation document was refused at the check '{check}': {detail}")]
    Document {
        /// The check's name.
        check: String,
        /// What was wrong.
        detail: String,
    },
    /// The document holds no X25519 key of 32 bytes.
    #[error("the attestation document holds no sealing key")]
    NoKey,
    /// The configuration isn't the pinned one.
    #[error("the enclave was booted with another configuration than the provider's file names")]
    Configuration,
    /// `user_data` isn't the hash of configuration and minting key.
    #[error("the minting key or the configuration is not the one that was measured")]
    Measured,
}

impl Served {
    /// Packs up what the enclave answered.
    #[must_use]
    pub const fn new(
        document: Vec<u8>,
        boot_configuration: Vec<u8>,
        minting_key: VerifyingKey,
    ) -> Self {
        Self {
            document: Base64Url(document),
            boot_configuration: Base64Url(boot_configuration),
            minting_key,
            former_minting_keys: Vec::new(),
        }
    }

    /// The same with keys by which the enclave minted before.
    #[must_use]
    pub fn with_former_keys(self, former_minting_keys: Vec<VerifyingKey>) -> Self {
        Self { former_minting_keys, ..self }
    }

    /// As [`verify`](Self::verify), against any of several pins: during an update of the enclave, or of whom it believes, there are more
    /// than one. Gives the one that fits, too.
    ///
    /// # Errors
    /// What is wrong with the pin that came furthest, the first one's if none did.
    pub fn verify_any<'a>(
        &self,
        pins: impl IntoIterator<Item = &'a EnclavePin>,
        nonce: &[u8],
        now: UnixTime,
    ) -> Result<(Attested, Report, &'a EnclavePin), AttestationError> {
        let mut furthest = AttestationError::Configuration;
        for pin in pins {
            match self.verify(pin, nonce, now) {
                Ok((attested, report)) => return Ok((attested, report, pin)),
                Err(error) if furthest == AttestationError::Configuration => furthest = error,
                Err(_) => {}
            }
        }
        Err(furthest)
    }

    /// Checks everything: the document (form, chain, signature, freshness, `nonce`, PCRs), the configuration against the
    /// pinned one, and both it and all minting keys against `user_data`. The report names each check of the document.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(
        &self,
        pin: &EnclavePin,
        nonce: &[u8],
        now: UnixTime,
    ) -> Result<(Attested, Report), AttestationError> {
        let configuration = &self.boot_configuration.0;
        if configuration.as_slice() != pin.boot_configuration.as_bytes() {
            return Err(AttestationError::Configuration);
        }
        let expect = Expectations {
            nonce: Some(nonce.to_vec()),
            pcrs: pin.pcrs(),
            max_age: Some(EnclavePin::MAX_AGE),
            ..Expectations::default()
        };
        let report = nitro::examine(&self.document.0, &pin.root, now, &expect);
        let Some(attestation) = &report.attestation else {
            let failed = report.first_failure();
            return Err(AttestationError::Document {
                check: failed.map_or_else(String::new, |check| check.name.to_string()),
                detail: failed.map_or_else(String::new, |check| check.detail.clone()),
            });
        };
        let measured = BootConfiguration::user_data(
            configuration,
            &self.minting_key,
            &self.former_minting_keys,
        );
        if attestation.user_data.as_deref() != Some(&measured[..]) {
            return Err(AttestationError::Measured);
        }
        let key = attestation.public_key.as_deref().and_then(|key| key.try_into().ok());
        let attested = Attested {
            sealing_key: SealingKey::from_bytes(key.ok_or(AttestationError::NoKey)?),
            minting_keys: KeySet::new(
                [&self.minting_key].into_iter().chain(&self.former_minting_keys).cloned(),
            ),
            timestamp_ms: attestation.timestamp_ms,
        };
        Ok((attested, report))
    }
}
