//! A software stand-in for the AWS authority: documents of the very same shape under a root whose subject says
//! UNTRUSTED DEVELOPMENT.
//!
//! Whoever holds this root's key can attest to anything; that is the point on a developer's machine, and why
//! clients refuse it unless told otherwise. Keys come from aws-lc's own generator, which takes no other source.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};
use coarse::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::certificate::{Certificate, UNTRUSTED_DEVELOPMENT, is_untrusted_development};
use crate::cose;
use crate::payload::{DocumentFields, Payload, PayloadError};

/// Certificates begin a little early, for clients whose clocks are behind.
const BACKDATED: Duration = Duration::from_secs(60);
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// As at AWS, the instance's certificate lives for a day.
const INTERMEDIATE_LIFE: Duration = Duration::from_secs(86_400);
/// How long a [`DocumentSigner`] is good for, as at AWS: issue another one well before.
pub const LEAF_LIFE: Duration = Duration::from_secs(3 * 3600);
/// The development root and its key.
pub struct DevelopmentAuthority {
    root: Vec<u8>,
    key: AuthorityKey,
}

impl DevelopmentAuthority {
    /// A new root, valid for ten years from `now`.
    pub fn generate(now: UnixTime) -> Result<Self, DevelopmentError> {
        let key = AuthorityKey::generate()?;
        let life = Life { from: now.minus(BACKDATED), to: now.plus(ROOT_LIFE) };
        let certificate = root_parameters(life)?.self_signed(&key).map_err(issuing)?;
        Ok(Self { root: certificate.der().to_vec(), key })
    }

    /// The authority that [`DevelopmentAuthority::to_bytes`] kept.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DevelopmentError> {
        let (length, rest) = bytes.split_first_chunk().ok_or(DevelopmentError::Root)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (root, private_key) = rest.split_at_checked(length).ok_or(DevelopmentError::Root)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, private_key)
            .map(AuthorityKey)
            .map_err(|_| DevelopmentError::PrivateKey)?;
        let certificate = Certificate::parse(root).map_err(|_| DevelopmentError::Root)?;
        if certificate.public_key != key.der_bytes() {
            return Err(DevelopmentError::PrivateKey);
        }
        if !is_untrusted_development(root) || certificate.subject != root_subject(&key)? {
            return Err(DevelopmentError::Root);
        }
        Ok(Self { root: root.to_vec(), key })
    }

    /// The authority to be kept, secretly: length of the root (2 bytes, big-endian), root (DER), private key
    /// (PKCS#8).
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, DevelopmentError> {
        let key = self.key.0.to_pkcs8v1().map_err(|_| DevelopmentError::Library)?;
        let length = u16::try_from(self.root.len()).map_err(issuing)?;
        // Of full size at once: a vector that grows leaves copies of the key behind.
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(2 + self.root.len() + key.as_ref().len()));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(key.as_ref());
        Ok(bytes)
    }

    /// The root (DER), for clients to pin.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.root
    }

    /// A signer of documents from `now` on, with a new key and certificates of its own.
    pub fn issue(&self, now: UnixTime) -> Result<DocumentSigner, DevelopmentError> {
        let from = now.minus(BACKDATED);
        let root = Issuer::new(root_parameters(Life { from, to: from })?, &self.key);

        let intermediate_key = AuthorityKey::generate()?;
        let life = Life { from, to: now.plus(INTERMEDIATE_LIFE) };
        let mut parameters = parameters("instance", life)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let intermediate = parameters.signed_by(&intermediate_key, &root).map_err(issuing)?;
        let issuer = Issuer::new(parameters, intermediate_key);

        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
            .map_err(|_| DevelopmentError::Library)?;
        let mut parameters = self::parameters("enclave", Life { from, to: now.plus(LEAF_LIFE) })?;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let public_key = LeafKey(key.public_key().as_ref());
        let leaf = parameters.signed_by(&public_key, &issuer).map_err(issuing)?;

        let certificate = leaf.der().to_vec();
        let cabundle = vec![self.root.clone(), intermediate.der().to_vec()];
        Ok(DocumentSigner { key, certificate, cabundle })
    }
}

/// A short-lived key that signs documents, with the certificates that vouch for it.
pub struct DocumentSigner {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    cabundle: Vec<Vec<u8>>,
}

impl DocumentSigner {
    /// Signs a document. What the verifier wouldn't take as a payload isn't signed.
    pub fn sign(&self, fields: &DocumentFields) -> Result<Vec<u8>, DevelopmentError> {
        let payload = Payload {
            fields: fields.clone(),
            certificate: self.certificate.clone(),
            cabundle: self.cabundle.clone(),
        }
        .encode();
        Payload::decode(&payload)?;
        self.sign_unchecked(&payload)
    }

    /// Signs any bytes as a payload, which the real authority never would: for whoever tests a reader behind
    /// the signature. Good documents come from [`sign`](Self::sign).
    pub fn sign_unchecked(&self, payload: &[u8]) -> Result<Vec<u8>, DevelopmentError> {
        let signature = self
            .key
            .sign(&SystemRandom::new(), &cose::signed_bytes(payload))
            .map_err(|_| DevelopmentError::Library)?;
        Ok(cose::encode(payload, signature.as_ref()))
    }

    /// The signing key's certificate (DER), which a payload must hold.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its issuers (DER), the root first, which a payload must hold, too.
    #[must_use]
    pub fn cabundle(&self) -> &[Vec<u8>] {
        &self.cabundle
    }
}

/// Why the development authority can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// The kept root isn't one that this version made.
    #[error("the kept root isn't a development root of this version: remove it and its key")]
    Root,
    /// The kept key isn't the root's.
    #[error("the kept private key isn't the root's: remove both")]
    PrivateKey,
    /// The caller's fields don't make a document.
    #[error("these fields don't make a document")]
    Fields(#[from] PayloadError),
    /// A certificate couldn't be written.
    #[error("a certificate couldn't be issued: {0}")]
    Issuing(String),
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

fn issuing(error: impl std::fmt::Display) -> DevelopmentError {
    DevelopmentError::Issuing(error.to_string())
}

/// The key of the root or an intermediate. aws-lc wipes it when it is freed.
struct AuthorityKey(EcdsaKeyPair);

impl AuthorityKey {
    fn generate() -> Result<Self, DevelopmentError> {
        EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)
            .map(Self)
            .map_err(|_| DevelopmentError::Library)
    }
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

impl SigningKey for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        signature.map(|it| it.as_ref().to_vec()).map_err(|_| rcgen::Error::RingUnspecified)
    }
}

/// The point that a leaf certificate is for.
struct LeafKey<'a>(&'a [u8]);

impl PublicKeyData for LeafKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

#[derive(Clone, Copy)]
struct Life {
    from: UnixTime,
    to: UnixTime,
}

fn root_parameters(life: Life) -> Result<CertificateParams, DevelopmentError> {
    let mut parameters = parameters("root", life)?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(parameters)
}

/// The subject that this version gives its root, as `Name` contents.
fn root_subject(key: &AuthorityKey) -> Result<Vec<u8>, DevelopmentError> {
    let epoch = UnixTime::from_seconds(0);
    let sample = root_parameters(Life { from: epoch, to: epoch })?.self_signed(key);
    let sample = sample.map_err(issuing)?;
    Ok(Certificate::parse(sample.der()).map_err(issuing)?.subject.to_vec())
}

fn parameters(role: &str, life: Life) -> Result<CertificateParams, DevelopmentError> {
    let moment = |time: UnixTime| {
        i64::try_from(time.seconds())
            .map_err(issuing)
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(issuing))
    };
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, UNTRUSTED_DEVELOPMENT);
    name.push(DnType::OrganizationalUnitName, "software NSM");
    name.push(DnType::CommonName, format!("{role}.untrusted-development.nitro-enclaves"));
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters.not_before = moment(life.from)?;
    parameters.not_after = moment(life.to)?;
    Ok(parameters)
}
