//! A forger's workshop: a throw-away PKI and documents whose signatures hold, with anything else wrong.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use coarse::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
};
use time::OffsetDateTime;

use crate::cbor::Writer;
use crate::{Attestation, Expectations, Pcrs, Rejection, verify};

/// When everything here happens.
pub(super) const NOW: u64 = 1_767_225_600;

/// One certificate to be: issued by the one before it.
pub(super) struct Link {
    pub(super) parameters: CertificateParams,
    pub(super) algorithm: &'static SignatureAlgorithm,
    /// Issued under this name instead of the issuer's own.
    pub(super) issuer: Option<&'static str>,
}

impl Link {
    /// A CA that allows `path_length` more, or a leaf; valid from an hour before to two hours after `NOW`.
    pub(super) fn new(name: &str, path_length: Option<u8>) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = named(name);
        parameters.not_before = moment(NOW - 3600);
        parameters.not_after = moment(NOW + 7200);
        match path_length {
            Some(length) => {
                parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
                parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            }
            None => {
                parameters.is_ca = IsCa::ExplicitNoCa;
                parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            }
        }
        Self { parameters, algorithm: &PKCS_ECDSA_P384_SHA384, issuer: None }
    }
}

pub(super) fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

pub(super) fn moment(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap()
}

/// Certificates from the root to the leaf, and the leaf's key.
pub(super) struct Chain {
    pub(super) certificates: Vec<Vec<u8>>,
    keys: Vec<KeyPair>,
}

impl Chain {
    /// Root, regional, zonal, instance and leaf, as at AWS, with `spoil` applied before they are issued.
    pub(super) fn new(spoil: impl FnOnce(&mut Vec<Link>)) -> Self {
        let mut links = vec![
            Link::new("root", Some(3)),
            Link::new("regional", Some(2)),
            Link::new("zonal", Some(1)),
            Link::new("instance", Some(0)),
            Link::new("leaf", None),
        ];
        spoil(&mut links);
        let mut chain = Self { certificates: Vec::new(), keys: Vec::new() };
        let mut above: Option<(CertificateParams, KeyPair)> = None;
        for Link { parameters, algorithm, issuer } in links {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let certificate = match &above {
                None => parameters.self_signed(&key),
                Some((above, above_key)) => {
                    let mut above = above.clone();
                    if let Some(name) = issuer {
                        above.distinguished_name = named(name);
                    }
                    parameters.signed_by(&key, &Issuer::new(above, above_key))
                }
            };
            chain.certificates.push(certificate.unwrap().der().to_vec());
            above = Some((parameters, copy(&key, algorithm)));
            chain.keys.push(key);
        }
        chain
    }

    pub(super) fn root(&self) -> &[u8] {
        &self.certificates[0]
    }
}

fn copy(key: &KeyPair, algorithm: &'static SignatureAlgorithm) -> KeyPair {
    let bytes = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    KeyPair::from_pkcs8_der_and_sign_algo(&bytes, algorithm).unwrap()
}

/// Everything in a document, already encoded where its encoding may be spoilt.
pub(super) struct Parts {
    pub(super) prefix: Vec<u8>,
    pub(super) protected: Vec<u8>,
    /// The header as an encoded item.
    pub(super) unprotected: Vec<u8>,
    /// Keys and values of the payload as encoded items.
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the payload map is open.
    pub(super) open: bool,
    /// Replaces the payload's contents.
    pub(super) payload: Option<Vec<u8>>,
    /// Replaces the payload item in the envelope; what is signed stays.
    pub(super) payload_item: Option<Vec<u8>>,
    /// The index in the chain of the key that signs.
    pub(super) signer: usize,
    pub(super) algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm,
}

pub(super) fn text(value: &str) -> Vec<u8> {
    encoded(|writer| writer.text(value))
}

pub(super) fn bytes(value: &[u8]) -> Vec<u8> {
    encoded(|writer| writer.bytes(value))
}

pub(super) fn unsigned(value: u64) -> Vec<u8> {
    encoded(|writer| writer.unsigned(value))
}

pub(super) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [encoded(|writer| writer.array(items.len())), items.concat()].concat()
}

/// A map of the pairs as they are, even if a key appears twice.
pub(super) fn map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    [encoded(|writer| writer.map(pairs.len())), joined(pairs)].concat()
}

pub(super) fn open_map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    [&[0xbf], joined(pairs).as_slice(), &[0xff]].concat()
}

pub(super) fn pcr_map(range: std::ops::Range<u64>) -> Vec<u8> {
    map(&pcr_pairs(range))
}

pub(super) fn pcr_pairs(range: std::ops::Range<u64>) -> Vec<(Vec<u8>, Vec<u8>)> {
    range.map(|index| (unsigned(index), bytes(&[index as u8 + 1; 48]))).collect()
}

fn joined(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    pairs.iter().flat_map(|(key, value)| [key.as_slice(), value]).collect::<Vec<_>>().concat()
}

fn encoded(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    write(&mut writer);
    writer.finish()
}

impl Parts {
    fn new(chain: &Chain) -> Self {
        let (leaf, cabundle) = chain.certificates.split_last().unwrap();
        let cabundle: Vec<_> = cabundle.iter().map(|certificate| bytes(certificate)).collect();
        let fields = [
            ("module_id", text("i-0-enc0")),
            ("digest", text("SHA384")),
            ("timestamp", unsigned(NOW * 1000 + 500)),
            ("pcrs", pcr_map(0..16)),
            ("certificate", bytes(leaf)),
            ("cabundle", array(&cabundle)),
            ("public_key", bytes(&[7; 32])),
            ("user_data", vec![0xf6]),
            ("nonce", bytes(b"nonce")),
        ];
        Self {
            prefix: vec![0x84],
            protected: vec![0xa1, 0x01, 0x38, 0x22],
            unprotected: vec![0xa0],
            fields: fields.map(|(key, value)| (text(key), value)).into(),
            open: false,
            payload: None,
            payload_item: None,
            signer: chain.keys.len() - 1,
            algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
        }
    }

    /// Replaces a field's value.
    pub(super) fn set(&mut self, key: &str, value: Vec<u8>) {
        let key = text(key);
        self.fields.iter_mut().find(|(found, _)| *found == key).unwrap().1 = value;
    }

    /// Removes a field.
    pub(super) fn remove(&mut self, key: &str) {
        let key = text(key);
        self.fields.retain(|(found, _)| *found != key);
    }

    fn sign(self, chain: &Chain) -> Vec<u8> {
        let payload = self
            .payload
            .unwrap_or_else(|| if self.open { open_map(&self.fields) } else { map(&self.fields) });
        let signed =
            array(&[text("Signature1"), bytes(&self.protected), bytes(&[]), bytes(&payload)]);
        let key = chain.keys[self.signer].serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(self.algorithm, &key).unwrap();
        let signature = key.sign(&SystemRandom::new(), &signed).unwrap();
        [
            self.prefix,
            bytes(&self.protected),
            self.unprotected,
            self.payload_item.unwrap_or_else(|| bytes(&payload)),
            bytes(signature.as_ref()),
        ]
        .concat()
    }
}

/// A signed document, with `spoil` applied before it is signed.
pub(super) fn document(chain: &Chain, spoil: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let mut parts = Parts::new(chain);
    spoil(&mut parts);
    parts.sign(chain)
}

/// Verifies with every expectation that a good document of this workshop meets.
pub(super) fn check(document: &[u8], chain: &Chain) -> Result<Attestation, Rejection> {
    let pcrs = Pcrs::from([(0, [1; 48]), (1, [2; 48]), (2, [3; 48])]);
    let expectations = Expectations { pcrs, ..Expectations::default() };
    verify(document, chain.root(), UnixTime::from_seconds(NOW + 1), &expectations)
}
