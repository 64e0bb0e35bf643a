//! Certificates (RFC 5280) of the only kind that attestation has: version 3, P-384 keys, ES384 signatures.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Date, Month, PrimitiveDateTime, Time};

use crate::der::{self, Der, DerError};

/// `AlgorithmIdentifier` contents: ecdsa-with-SHA384, without parameters (RFC 5758, section 3.2).
const ECDSA_WITH_SHA384: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// `AlgorithmIdentifier` contents: id-ecPublicKey on secp384r1 (RFC 5480, section 2.1.1).
const P384_KEY: [u8; 16] = [
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22,
];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
/// What a development root has in its subject, in capitals so that nobody overlooks it.
pub(crate) const UNTRUSTED_DEVELOPMENT: &str = "UNTRUSTED DEVELOPMENT";

/// Why a certificate isn't of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a DER certificate, or one with parts that don't belong into it.
    #[error("isn't a strict DER certificate of version 3")]
    Malformed,
    /// Signed by something else than ECDSA with SHA-384.
    #[error("isn't signed by ECDSA with SHA-384")]
    Algorithm,
    /// A key that isn't an uncompressed point of P-384.
    #[error("has a key that isn't of P-384")]
    Key,
    /// A critical extension that this reader doesn't know: it must refuse (RFC 5280, section 4.2).
    #[error("has an unknown critical extension")]
    Critical,
    /// CA:TRUE in an extension that others may ignore (RFC 5280, section 4.2.1.9).
    #[error("is a CA by an extension that isn't critical")]
    NotCritical,
    /// The same extension twice.
    #[error("has an extension twice")]
    Twice,
}

impl From<DerError> for CertificateError {
    fn from(DerError: DerError) -> Self {
        Self::Malformed
    }
}

/// What the checks need of a certificate. Its signature isn't among them: see `chain`.
pub struct Certificate<'a> {
    /// `Name`, contents.
    pub issuer: &'a [u8],
    /// `Name`, contents.
    pub subject: &'a [u8],
    /// First valid second since 1970.
    pub not_before: i64,
    /// Last valid second since 1970.
    pub not_after: i64,
    /// 0x04, x, y: 97 bytes.
    pub public_key: &'a [u8],
    /// basicConstraints say CA:TRUE.
    pub is_ca: bool,
    /// How many CA certificates may follow this one.
    pub path_length: Option<u8>,
    /// What the key is for, if it says so.
    pub key_usage: Option<KeyUsage>,
}

/// The two bits of keyUsage that matter.
#[derive(Clone, Copy)]
pub struct KeyUsage {
    /// It may sign data.
    pub digital_signature: bool,
    /// It may sign certificates.
    pub certificate_sign: bool,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate, all of it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CertificateError> {
        let mut outer = Der::new(bytes);
        let mut certificate = outer.nested(der::SEQUENCE)?;
        outer.finish()?;
        let mut body = certificate.nested(der::SEQUENCE)?;
        let algorithm = certificate.element(der::SEQUENCE)?;
        if !matches!(certificate.element(der::BIT_STRING)?, [0, _, ..]) {
            return Err(CertificateError::Malformed);
        }
        certificate.finish()?;

        let mut version = body.nested(der::context(0))?;
        if version.element(der::INTEGER)? != [2] {
            return Err(CertificateError::Malformed);
        }
        version.finish()?;
        body.integer()?;
        if algorithm != ECDSA_WITH_SHA384 || body.element(der::SEQUENCE)? != algorithm {
            return Err(CertificateError::Algorithm);
        }
        let issuer = name(&mut body)?;
        let mut validity = body.nested(der::SEQUENCE)?;
        let not_before = moment(&mut validity)?;
        let not_after = moment(&mut validity)?;
        validity.finish()?;
        let subject = name(&mut body)?;
        let public_key = p384_point(body.nested(der::SEQUENCE)?)?;
        let extensions = Extensions::parse(&mut body)?;
        body.finish()?;
        Ok(Self {
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            is_ca: extensions.is_ca,
            path_length: extensions.path_length,
            key_usage: extensions.key_usage,
        })
    }

    /// Whether the certificate is valid in this second; both ends count.
    pub fn is_valid_at(&self, seconds: u64) -> bool {
        i64::try_from(seconds).is_ok_and(|now| (self.not_before..=self.not_after).contains(&now))
    }
}

/// A `Name`: sets of attributes, each an OID and a value. Names are compared as they are written, so the contents
/// are all that is kept.
fn name<'a>(body: &mut Der<'a>) -> Result<&'a [u8], CertificateError> {
    let contents = body.element(der::SEQUENCE)?;
    let mut sets = Der::new(contents);
    while !sets.at_end() {
        let mut set = sets.nested(der::SET)?;
        loop {
            let mut attribute = set.nested(der::SEQUENCE)?;
            attribute.oid()?;
            attribute.any()?;
            attribute.finish()?;
            if set.at_end() {
                break;
            }
        }
    }
    Ok(contents)
}

/// A `Time`: UTCTime (years 1950 to 2049) or GeneralizedTime, in seconds since 1970.
fn moment(validity: &mut Der<'_>) -> Result<i64, CertificateError> {
    let (tag, text) = validity.any()?;
    let (century_and_year, rest) = match (tag, text) {
        (der::UTC_TIME, [y1, y0, rest @ ..]) => {
            let year = digits(&[*y1, *y0])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (der::GENERALIZED_TIME, [y3, y2, y1, y0, rest @ ..]) => {
            (digits(&[*y3, *y2, *y1, *y0])?, rest)
        }
        _ => return Err(CertificateError::Malformed),
    };
    let [mo1, mo0, d1, d0, h1, h0, m1, m0, s1, s0, b'Z'] = *rest else {
        return Err(CertificateError::Malformed);
    };
    let two = |tens, ones| digits(&[tens, ones]).map(|value| value as u8);
    let range = |_: time::error::ComponentRange| CertificateError::Malformed;
    let month = Month::try_from(two(mo1, mo0)?).map_err(range)?;
    let year = i32::from(century_and_year);
    let date = Date::from_calendar_date(year, month, two(d1, d0)?).map_err(range)?;
    let time = Time::from_hms(two(h1, h0)?, two(m1, m0)?, two(s1, s0)?).map_err(range)?;
    Ok(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

/// The number that up to four ASCII digits write.
fn digits(text: &[u8]) -> Result<u16, CertificateError> {
    text.iter().try_fold(0, |value, digit| {
        if digit.is_ascii_digit() {
            Ok(value * 10 + u16::from(digit - b'0'))
        } else {
            Err(CertificateError::Malformed)
        }
    })
}

/// The point in a `SubjectPublicKeyInfo`. Whether it lies on the curve shows when a signature is checked.
fn p384_point(mut info: Der<'_>) -> Result<&[u8], CertificateError> {
    let algorithm = info.element(der::SEQUENCE)?;
    let key = info.element(der::BIT_STRING)?;
    info.finish()?;
    match key {
        [0, point @ ..]
            if algorithm == P384_KEY && point.len() == 97 && point.first() == Some(&0x04) =>
        {
            Ok(point)
        }
        _ => Err(CertificateError::Key),
    }
}

#[derive(Default)]
struct Extensions {
    is_ca: bool,
    path_length: Option<u8>,
    key_usage: Option<KeyUsage>,
}

impl Extensions {
    fn parse(body: &mut Der<'_>) -> Result<Self, CertificateError> {
        let mut extensions = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        let Some(tagged) = body.optional(der::context(3))? else {
            return Ok(extensions);
        };
        let mut tagged = Der::new(tagged);
        let mut list = tagged.nested(der::SEQUENCE)?;
        tagged.finish()?;
        while !list.at_end() {
            let mut extension = list.nested(der::SEQUENCE)?;
            let id = extension.oid()?;
            let critical = extension.default_false()?;
            let value = extension.element(der::OCTET_STRING)?;
            extension.finish()?;
            if seen.contains(&id) {
                return Err(CertificateError::Twice);
            }
            seen.push(id);
            if id == BASIC_CONSTRAINTS {
                extensions.basic_constraints(value)?;
                if extensions.is_ca && !critical {
                    return Err(CertificateError::NotCritical);
                }
            } else if id == KEY_USAGE {
                extensions.key_usage = Some(key_usage(value)?);
            } else if critical {
                return Err(CertificateError::Critical);
            }
        }
        Ok(extensions)
    }

    /// `SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL }`, the latter for CAs only.
    fn basic_constraints(&mut self, value: &[u8]) -> Result<(), CertificateError> {
        let mut outer = Der::new(value);
        let mut constraints = outer.nested(der::SEQUENCE)?;
        outer.finish()?;
        self.is_ca = constraints.default_false()?;
        self.path_length = match constraints.optional(der::INTEGER)? {
            None => None,
            Some([length @ 0..=0x7f]) if self.is_ca => Some(*length),
            Some(_) => return Err(CertificateError::Malformed),
        };
        Ok(constraints.finish()?)
    }
}

/// A BIT STRING; bit 0 (digitalSignature) is the first byte's highest, bit 5 is keyCertSign. It ends with its last bit that
/// is set (X.690, section 11.2.2).
fn key_usage(value: &[u8]) -> Result<KeyUsage, CertificateError> {
    let mut outer = Der::new(value);
    let bits = outer.element(der::BIT_STRING)?;
    outer.finish()?;
    match bits {
        [unused @ 0..=7, first, rest @ ..]
            if rest.len() <= 1
                && rest.last().unwrap_or(first).trailing_zeros() == u32::from(*unused) =>
        {
            Ok(KeyUsage {
                digital_signature: first & 0x80 != 0,
                certificate_sign: first & 0x04 != 0,
            })
        }
        _ => Err(CertificateError::Malformed),
    }
}

/// The DER of a root certificate that comes in DER, or in PEM with exactly one certificate.
pub fn root_from_pem_or_der(bytes: &[u8]) -> Result<Vec<u8>, RootError> {
    let der = if bytes.first() == Some(&der::SEQUENCE) {
        bytes.to_vec()
    } else {
        let mut certificates = CertificateDer::pem_slice_iter(bytes);
        let (Some(Ok(certificate)), None) = (certificates.next(), certificates.next()) else {
            return Err(RootError::Encoding);
        };
        certificate.to_vec()
    };
    Certificate::parse(&der)?;
    Ok(der)
}

/// Whether a root (DER) itself says UNTRUSTED DEVELOPMENT in its subject. Its documents prove nothing about
/// hardware; accept it only from somebody who asked for it by name.
#[must_use]
pub fn is_untrusted_development(root: &[u8]) -> bool {
    let mark = UNTRUSTED_DEVELOPMENT.as_bytes();
    Certificate::parse(root)
        .is_ok_and(|root| root.subject.windows(mark.len()).any(|part| part == mark))
}

/// What was given isn't a root to pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Neither DER nor PEM with one certificate.
    #[error("the root must be one certificate, in DER or PEM")]
    Encoding,
    /// A certificate of another kind.
    #[error("the root {0}")]
    Certificate(#[from] CertificateError),
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: &[u8] = include_bytes!("../../../../testdata/nitro/root-aws.der");

    #[test]
    fn the_aws_root_reads_as_openssl_prints_it() {
        let root = Certificate::parse(AWS).unwrap();
        // `date -u -d '2019-10-28 13:28:05' +%s`, `date -u -d '2049-10-28 14:28:05' +%s`
        assert_eq!((root.not_before, root.not_after), (1_572_269_285, 2_519_044_085));
        assert_eq!(root.issuer, root.subject);
        assert_eq!(root.public_key[..4], [0x04, 0xfc, 0x02, 0x54]);
        assert!(root.is_ca && root.path_length.is_none());
        assert!(root.key_usage.is_some_and(|usage| usage.certificate_sign));
        assert!(!is_untrusted_development(AWS));
        assert!(Certificate::parse(&[AWS, &[0]].concat()).is_err());
    }

    /// What a certificate holds beyond what is used must be DER, too: another reader might understand it differently.
    #[test]
    fn parts_that_are_not_used_are_strict_as_well() {
        let spoil = |find: &[u8], put: &[u8]| {
            let at = AWS.windows(find.len()).position(|part| part == find).unwrap();
            let mut bytes = AWS.to_vec();
            bytes[at..at + put.len()].copy_from_slice(put);
            assert_ne!(bytes, AWS);
            Certificate::parse(&bytes).err()
        };
        let malformed = Some(CertificateError::Malformed);
        // countryName's OID: longer than its attribute; with a number that doesn't end; with a leading zero.
        assert_eq!(spoil(&[6, 3, 0x55, 4, 6], &[6, 9]), malformed);
        assert_eq!(spoil(&[6, 3, 0x55, 4, 6], &[6, 3, 0x55, 4, 0x86]), malformed);
        assert_eq!(spoil(&[6, 3, 0x55, 4, 6], &[6, 3, 0x55, 0x80, 6]), malformed);
        // A set that is none, an attribute that is none.
        assert_eq!(spoil(&[0x31, 0x0b, 0x30, 9], &[0x30]), malformed);
        assert_eq!(spoil(&[0x31, 0x0b, 0x30, 9], &[0x31, 0x0b, 0x31]), malformed);
        // A value whose tag goes on in a second byte.
        assert_eq!(spoil(&[0x13, 2, b'U', b'S'], &[0x1f]), malformed);
        // The serial number with a byte too many, and without any sign that it needs it.
        let [first, second] = [AWS[15], AWS[16]];
        assert_eq!((AWS[13], first), (0x02, 0x00));
        assert_eq!(spoil(&[first, second], &[0, second & 0x7f]), malformed);
        // A signature with unused bits.
        assert_eq!(spoil(&[0x03, 0x69, 0, 0x30], &[0x03, 0x69, 1]), malformed);
    }

    #[test]
    fn a_key_usage_ends_with_its_last_bit() {
        let read = |bits: &[u8]| {
            let value = [&[der::BIT_STRING, bits.len() as u8], bits].concat();
            let usage = key_usage(&value).ok()?;
            Some((usage.digital_signature, usage.certificate_sign))
        };
        assert_eq!(read(&[7, 0x80]), Some((true, false)));
        assert_eq!(read(&[1, 0x86]), Some((true, true)));
        assert_eq!(read(&[7, 0x00, 0x80]), Some((false, false)));
        for wrong in [&[0, 0x80][..], &[7, 0x81], &[7, 0], &[8, 0], &[0], &[0, 1, 1, 1]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn both_ends_of_validity_count() {
        let root = Certificate::parse(AWS).unwrap();
        for (seconds, valid) in [
            (1_572_269_284, false),
            (1_572_269_285, true),
            (2_519_044_085, true),
            (2_519_044_086, false),
            (u64::MAX, false),
        ] {
            assert_eq!(root.is_valid_at(seconds), valid, "{seconds}");
        }
    }

    #[test]
    fn times_are_utc_with_seconds() {
        let read = |tag: u8, text: &str| {
            let bytes = [&[tag, text.len() as u8], text.as_bytes()].concat();
            moment(&mut Der::new(&bytes))
        };
        assert_eq!(read(der::UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(read(der::UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(read(der::UTC_TIME, "500101000000Z"), Ok(-631_152_000));
        assert_eq!(read(der::GENERALIZED_TIME, "20500101000000Z"), Ok(2_524_608_000));
        for bad in [
            "7001010000Z",
            "700101000000",
            "700101000000+0000",
            "701301000000Z",
            "700230000000Z",
            "700101240000Z",
            "70010100000 Z",
        ] {
            assert!(read(der::UTC_TIME, bad).is_err(), "{bad}");
        }
        assert!(read(der::GENERALIZED_TIME, "20500101000000.5Z").is_err());
    }

    #[test]
    fn a_root_comes_as_pem_too() {
        let pem = include_str!("../tests/data/root-aws.pem");
        assert_eq!(root_from_pem_or_der(pem.as_bytes()).unwrap(), AWS);
        assert_eq!(root_from_pem_or_der(pem.repeat(2).as_bytes()), Err(RootError::Encoding));
        assert_eq!(root_from_pem_or_der(b"nothing"), Err(RootError::Encoding));
        assert!(root_from_pem_or_der(&AWS[..AWS.len() - 1]).is_err());
    }
}
