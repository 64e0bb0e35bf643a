//! The certificate chain: from the pinned root, in order and without detours, to the signing key.
//!
//! Signatures, names, dates and constraints are checked by rustls-webpki. It looks for any path through a
//! heap of certificates, ignores keyUsage and takes the root on faith; so this module adds what AWS's
//! specification (section 3.2.3) wants beyond that: `cabundle` is the path itself, its first certificate is
//! the pinned root byte for byte, the root is valid too, and every key is used for what it is for.

use coarse::UnixTime;
use rustls_pki_types::{CertificateDer, UnixTime as WebpkiTime};
use webpki::aws_lc_rs::ECDSA_P384_SHA384;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::certificate::{Certificate, CertificateError};

/// anyExtendedKeyUsage. No purpose is defined for attestation, so a certificate that restricts itself to
/// some other purpose isn't for it.
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// Which certificate is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The document's `certificate`.
    Leaf,
    /// The entry of `cabundle` with this index.
    Bundle(usize),
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaf => f.write_str("certificate"),
            Self::Bundle(index) => write!(f, "cabundle[{index}]"),
        }
    }
}

/// Why a chain doesn't reach from the pinned root to the signing key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// `cabundle[0]` isn't the pinned root.
    #[error("cabundle[0] isn't the pinned root")]
    AnotherRoot,
    /// A certificate that can't be read or isn't of the right kind.
    #[error("{0} {1}")]
    Certificate(Position, CertificateError),
    /// A certificate that isn't valid at the time of verification.
    #[error("{position} is valid from {from} to {to} (Unix seconds)")]
    Dates {
        /// Which one.
        position: Position,
        /// Its first second.
        from: i64,
        /// Its last second.
        to: i64,
    },
    /// A CA certificate without CA:TRUE, or a leaf with it.
    #[error("{0}: basicConstraints don't fit its place")]
    BasicConstraints(Position),
    /// A CA that mustn't sign certificates, or a leaf that mustn't sign data (or may sign certificates).
    #[error("{0}: keyUsage doesn't fit its place")]
    KeyUsage(Position),
    /// More CA certificates follow than pathLenConstraint allows.
    #[error("{0}: more CA certificates follow than it allows")]
    PathLength(Position),
    /// The issuer's name isn't the subject of the certificate before.
    #[error("{0} isn't issued by the certificate before it")]
    Issuer(Position),
    /// The path that the names and signatures make isn't `cabundle`: one too many or in another order.
    #[error("cabundle isn't exactly the path to the root")]
    Detour,
    /// What rustls-webpki refused: a signature, a name constraint, an extension.
    #[error("path refused: {0}")]
    Path(String),
}

/// The first of `cabundle` must be the pinned root, which must be a valid CA at `at`.
pub fn check_root(cabundle: &[Vec<u8>], root: &[u8], at: UnixTime) -> Result<(), ChainError> {
    let position = Position::Bundle(0);
    if cabundle.first().map(Vec::as_slice) != Some(root) {
        return Err(ChainError::AnotherRoot);
    }
    let certificate = parse(root, position)?;
    check_dates(&certificate, position, at)?;
    check_authority(&certificate, position)
}

/// The whole chain; returns the leaf, which may then vouch for a signature. `check_root` comes first.
pub fn check_chain<'a>(
    cabundle: &[Vec<u8>],
    leaf: &'a [u8],
    root: &[u8],
    at: UnixTime,
) -> Result<Certificate<'a>, ChainError> {
    let followers = cabundle.len().saturating_sub(1);
    let mut issuer: Option<Certificate<'_>> = None;
    for (index, bytes) in cabundle.iter().enumerate() {
        let position = Position::Bundle(index);
        let certificate = parse(bytes, position)?;
        check_dates(&certificate, position, at)?;
        check_authority(&certificate, position)?;
        if certificate.path_length.is_some_and(|most| usize::from(most) < followers - index) {
            return Err(ChainError::PathLength(position));
        }
        check_issuer(issuer.as_ref(), &certificate, position)?;
        issuer = Some(certificate);
    }
    let certificate = parse(leaf, Position::Leaf)?;
    check_dates(&certificate, Position::Leaf, at)?;
    check_issuer(issuer.as_ref(), &certificate, Position::Leaf)?;
    if certificate.is_ca {
        return Err(ChainError::BasicConstraints(Position::Leaf));
    }
    if !certificate
        .key_usage
        .is_some_and(|usage| usage.digital_signature && !usage.certificate_sign)
    {
        return Err(ChainError::KeyUsage(Position::Leaf));
    }
    check_path(cabundle, leaf, root, at)?;
    Ok(certificate)
}

fn parse(bytes: &[u8], position: Position) -> Result<Certificate<'_>, ChainError> {
    Certificate::parse(bytes).map_err(|error| ChainError::Certificate(position, error))
}

fn check_dates(
    certificate: &Certificate<'_>,
    position: Position,
    at: UnixTime,
) -> Result<(), ChainError> {
    if certificate.is_valid_at(at.seconds()) {
        Ok(())
    } else {
        let (from, to) = (certificate.not_before, certificate.not_after);
        Err(ChainError::Dates { position, from, to })
    }
}

fn check_authority(certificate: &Certificate<'_>, position: Position) -> Result<(), ChainError> {
    if !certificate.is_ca {
        return Err(ChainError::BasicConstraints(position));
    }
    if !certificate.key_usage.is_some_and(|usage| usage.certificate_sign) {
        return Err(ChainError::KeyUsage(position));
    }
    Ok(())
}

fn check_issuer(
    issuer: Option<&Certificate<'_>>,
    certificate: &Certificate<'_>,
    position: Position,
) -> Result<(), ChainError> {
    match issuer {
        Some(issuer) if issuer.subject != certificate.issuer => Err(ChainError::Issuer(position)),
        _ => Ok(()),
    }
}

/// Every link's signature, by rustls-webpki, along exactly the path that `cabundle` is.
fn check_path(
    cabundle: &[Vec<u8>],
    leaf: &[u8],
    root: &[u8],
    at: UnixTime,
) -> Result<(), ChainError> {
    let refused = |error: webpki::Error| ChainError::Path(error.to_string());
    let root = CertificateDer::from(root);
    let anchors = [anchor_from_trusted_cert(&root).map_err(refused)?];
    let intermediates: Vec<_> =
        cabundle.iter().skip(1).map(|bytes| CertificateDer::from(bytes.as_slice())).collect();
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf).map_err(refused)?;
    let path = leaf
        .verify_for_usage(
            &[ECDSA_P384_SHA384],
            &anchors,
            &intermediates,
            WebpkiTime::since_unix_epoch(std::time::Duration::from_secs(at.seconds())),
            KeyUsage::required_if_present(ANY_PURPOSE),
            None,
            None,
        )
        .map_err(refused)?;
    let walked = path.intermediate_certificates().map(|certificate| certificate.der());
    if walked.eq(intermediates.iter().rev().cloned()) { Ok(()) } else { Err(ChainError::Detour) }
}
