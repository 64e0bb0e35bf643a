//! The verifier: one list of checks, read by services as a verdict and by people as a report.

use std::fmt;
use std::time::Duration;

use coarse::UnixTime;

use crate::chain::{check_chain, check_root};
use crate::cose::Sign1;
use crate::payload::{DocumentFields, Payload, PayloadError};
use crate::pcr::{Pcrs, ZERO};

/// How far in the future a document's timestamp may lie: clocks differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// What the caller wants of a document beyond being genuine. What isn't given isn't expected.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// The nonce that was sent.
    pub nonce: Option<Vec<u8>>,
    /// The enclave's key, when known from before.
    pub public_key: Option<Vec<u8>>,
    /// The enclave's own data.
    pub user_data: Option<Vec<u8>>,
    /// Registers that must be there with these values; the others are free.
    pub pcrs: Pcrs,
    /// How old the document may be. No limit when absent, but for the certificates' few hours.
    pub max_age: Option<Duration>,
    /// Takes a document of an enclave in debug mode, whose memory its host reads. Never in production.
    pub allow_debug: bool,
}

/// A document that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The enclave's name: instance id and enclave id on AWS.
    pub module_id: String,
    /// When the document was made, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The registers, SHA-384.
    pub pcrs: Pcrs,
    /// The signing key's certificate, DER.
    pub certificate: Vec<u8>,
    /// A key of the enclave's, in its own format.
    pub public_key: Option<Vec<u8>>,
    /// Data of the enclave's.
    pub user_data: Option<Vec<u8>>,
    /// What whoever asked wanted to see again.
    pub nonce: Option<Vec<u8>>,
}

impl From<Payload> for Attestation {
    fn from(payload: Payload) -> Self {
        let DocumentFields { module_id, timestamp_ms, pcrs, public_key, user_data, nonce } =
            payload.fields;
        let certificate = payload.certificate;
        Self { module_id, timestamp_ms, pcrs, certificate, public_key, user_data, nonce }
    }
}

/// What a check looks at. As text (`certificate-chain`, `pcr-0`) these names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckName {
    /// The document is strict CBOR: an array of four, nothing behind it.
    Cbor,
    /// The four parts have the form of COSE_Sign1.
    Cose,
    /// The protected header names ES384 and nothing else.
    Algorithm,
    /// The payload has the specification's fields.
    Payload,
    /// The registers have valid numbers and lengths.
    Pcrs,
    /// The chain begins with the pinned root, which is valid.
    Root,
    /// The chain leads from the root to the signing key.
    CertificateChain,
    /// The signature holds.
    Signature,
    /// The timestamp lies within the signing certificate's validity, and not in the future.
    Timestamp,
    /// The document isn't older than expected.
    Age,
    /// The nonce is the expected one.
    Nonce,
    /// The public key is the expected one.
    PublicKey,
    /// The user data are the expected ones.
    UserData,
    /// This register is the expected one.
    Pcr(u8),
    /// The enclave isn't in debug mode.
    DebugMode,
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cbor => "cbor",
            Self::Cose => "cose",
            Self::Algorithm => "algorithm",
            Self::Payload => "payload",
            Self::Pcrs => "pcrs",
            Self::Root => "root",
            Self::CertificateChain => "certificate-chain",
            Self::Signature => "signature",
            Self::Timestamp => "timestamp",
            Self::Age => "age",
            Self::Nonce => "nonce",
            Self::PublicKey => "public-key",
            Self::UserData => "user-data",
            Self::Pcr(index) => return write!(f, "pcr-{index}"),
            Self::DebugMode => "debug-mode",
        })
    }
}

/// One check's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: CheckName,
    /// Whether it is right.
    pub ok: bool,
    /// What was found, for people.
    pub detail: String,
}

/// Everything that was checked. What depends on a failed check is left out.
#[derive(Clone, Debug)]
pub struct Report {
    /// The checks in the order they were made.
    pub checks: Vec<Check>,
    /// What the document says, if every check passed: nothing else may be relied upon.
    pub attestation: Option<Attestation>,
}

impl Report {
    /// Whether every check passed.
    #[must_use]
    pub const fn ok(&self) -> bool {
        self.attestation.is_some()
    }

    /// The first check that failed, if one did.
    #[must_use]
    pub fn first_failure(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.ok)
    }
}

/// A document refused: the first check that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attestation document refused, {check}: {detail}")]
pub struct Rejection {
    /// Which check.
    pub check: CheckName,
    /// What was found, for people.
    pub detail: String,
}

/// Checks `document` (raw CBOR) against `root` (DER) at the time `at`: a verdict for services.
pub fn verify(
    document: &[u8],
    root: &[u8],
    at: UnixTime,
    expectations: &Expectations,
) -> Result<Attestation, Rejection> {
    let report = examine(document, root, at, expectations);
    match report.first_failure() {
        Some(Check { name, detail, .. }) => Err(Rejection { check: *name, detail: detail.clone() }),
        None => report
            .attestation
            .ok_or(Rejection { check: CheckName::Cbor, detail: "there is no attestation".into() }),
    }
}

/// Checks `document` (raw CBOR) against `root` (DER) at the time `at`: every check, for people.
#[must_use]
pub fn examine(document: &[u8], root: &[u8], at: UnixTime, expectations: &Expectations) -> Report {
    let mut checks = Checks::default();
    let payload = run(&mut checks, document, root, at, expectations);
    let all_passed = !checks.0.is_empty() && checks.0.iter().all(|check| check.ok);
    let attestation = payload.filter(|_| all_passed).map(Attestation::from);
    Report { checks: checks.0, attestation }
}

/// The checks in order. `None` when there is nothing left to look at.
fn run(
    checks: &mut Checks,
    document: &[u8],
    root: &[u8],
    at: UnixTime,
    expectations: &Expectations,
) -> Option<Payload> {
    use CheckName as Name;

    let sign1 = checks.note(Name::Cbor, Sign1::decode(document), "strict CBOR")?;
    let payload = checks.note(Name::Cose, sign1.check_form(), "COSE_Sign1")?;
    checks.note(Name::Algorithm, sign1.check_algorithm(), "ES384")?;
    let payload = match Payload::decode(payload) {
        Err(error @ PayloadError::Pcrs(_)) => checks.note(Name::Pcrs, Err(error), "")?,
        decoded => checks.note(Name::Payload, decoded, "an AWS attestation document")?,
    };
    let Payload { fields, certificate, cabundle } = &payload;
    checks.note(Name::Pcrs, Ok::<_, String>(()), format!("{} registers", fields.pcrs.len()));
    let chain_ends = checks
        .note(Name::Root, check_root(cabundle, root, at), "cabundle[0] is the pinned root")
        .and_then(|()| {
            let chain = check_chain(cabundle, certificate, root, at);
            checks.note(
                Name::CertificateChain,
                chain,
                format!("{} certificates, all valid", cabundle.len() + 1),
            )
        });
    if let Some(leaf) = chain_ends {
        let signature = sign1.check_signature(leaf.public_key);
        checks.note(Name::Signature, signature, "signed by the certificate's key");
        let seconds = fields.timestamp_ms / 1000;
        let timestamp = if leaf.is_valid_at(seconds) {
            check_not_in_future(fields.timestamp_ms, at)
        } else {
            Err(format!("{seconds} is outside the signing certificate's validity"))
        };
        checks.note(Name::Timestamp, timestamp, format!("{seconds} (Unix seconds)"));
    }
    check_expectations(checks, fields, at, expectations);
    Some(payload)
}

fn check_not_in_future(timestamp_ms: u64, at: UnixTime) -> Result<(), String> {
    let latest_ms = at.plus(CLOCK_TOLERANCE).seconds().saturating_mul(1000);
    if timestamp_ms <= latest_ms {
        Ok(())
    } else {
        Err(format!("more than {} s in the future", CLOCK_TOLERANCE.as_secs()))
    }
}

fn check_expectations(
    checks: &mut Checks,
    fields: &DocumentFields,
    at: UnixTime,
    expectations: &Expectations,
) {
    if let Some(max_age) = expectations.max_age {
        let age_ms = at.seconds().saturating_mul(1000).saturating_sub(fields.timestamp_ms);
        let age = Duration::from_millis(age_ms);
        let outcome = if age <= max_age { Ok(()) } else { Err(format!("{age:?} old")) };
        checks.note(CheckName::Age, outcome, format!("{age:?} old"));
    }
    for (name, expected, found) in [
        (CheckName::Nonce, &expectations.nonce, &fields.nonce),
        (CheckName::PublicKey, &expectations.public_key, &fields.public_key),
        (CheckName::UserData, &expectations.user_data, &fields.user_data),
    ] {
        if let Some(expected) = expected {
            let outcome = match found {
                Some(found) if found == expected => Ok(()),
                Some(_) => Err("isn't the expected one"),
                None => Err("isn't in the document"),
            };
            checks.note(name, outcome, "as expected");
        }
    }
    for (index, expected) in &expectations.pcrs {
        let outcome = match fields.pcrs.get(index) {
            Some(found) if found == expected => Ok(()),
            Some(found) => {
                Err(format!("{}, not the expected {}", hex::encode(found), hex::encode(expected)))
            }
            None => Err("isn't in the document".to_owned()),
        };
        checks.note(CheckName::Pcr(*index), outcome, hex::encode(expected));
    }
    let debug = if expectations.allow_debug { Ok(()) } else { check_measured(&fields.pcrs) };
    let detail = if expectations.allow_debug { "allowed by the caller" } else { "off" };
    checks.note(CheckName::DebugMode, debug, detail);
}

/// PCR0 to PCR2 hold hashes of the image. In debug mode they stay zero, and a hash never is; a document
/// that has none of the three says nothing about the image either.
fn check_measured(pcrs: &Pcrs) -> Result<(), &'static str> {
    let measured = pcrs.range(..=2).any(|(_, pcr)| *pcr != ZERO);
    if measured && pcrs.get(&0) != Some(&ZERO) {
        Ok(())
    } else {
        Err("on: PCR0, or each of PCR0 to PCR2, is zero or missing")
    }
}

/// The timestamp that a document claims, in milliseconds since 1970. Nothing is verified: this is for whoever
/// has the document from a module that it trusts anyway, as the enclave does its own.
#[must_use]
pub fn timestamp_ms(document: &[u8]) -> Option<u64> {
    let sign1 = Sign1::decode(document).ok()?;
    Some(Payload::decode(sign1.check_form().ok()?).ok()?.fields.timestamp_ms)
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    /// Notes an outcome, with `passed` as the detail of a good one, and hands on what was checked.
    fn note<T>(
        &mut self,
        name: CheckName,
        outcome: Result<T, impl fmt::Display>,
        passed: impl Into<String>,
    ) -> Option<T> {
        let (ok, detail, value) = match outcome {
            Ok(value) => (true, passed.into(), Some(value)),
            Err(error) => (false, error.to_string(), None),
        };
        self.0.push(Check { name, ok, detail });
        value
    }
}
