//! The payload: AWS's `AttestationDocument` map, read and written.
//!
//! Source: "Nitro Enclaves Attestation Process", sections 2.2 and 3.2.2. Where genuine documents differ
//! from it, they win: optional fields come as null, and `user_data` and `nonce` have up to 1024 bytes.
//! Where it is wider than what exists, this is narrower: SHA384 registers have 48 bytes. The
//! specification lists the allowed fields, so any other key is refused.

#[cfg(feature = "development")]
use crate::cbor::Writer;
use crate::cbor::{CborError, Open, Reader};
use crate::pcr::{COUNT, Pcr, Pcrs};

/// The largest certificate and the largest optional field, in bytes.
const MAX_BYTES: usize = 1024;
/// The only digest.
const DIGEST: &str = "SHA384";

/// What a document says about an enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFields {
    /// The enclave's name: instance id and enclave id on AWS. Never empty.
    pub module_id: String,
    /// When the document was made, in milliseconds since 1970. Never zero.
    pub timestamp_ms: u64,
    /// The locked registers: 1 to 32.
    pub pcrs: Pcrs,
    /// A key of the enclave's, 1 to 1024 bytes of its choice.
    pub public_key: Option<Vec<u8>>,
    /// Up to 1024 bytes of the enclave's choice.
    pub user_data: Option<Vec<u8>>,
    /// What whoever asked wants to see again, up to 1024 bytes.
    pub nonce: Option<Vec<u8>>,
}

/// A whole payload: the fields and the certificates that vouch for the signing key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) fields: DocumentFields,
    /// The signing key's certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// Its issuers, DER, the root first and the certificate's own issuer last. Never empty.
    pub(crate) cabundle: Vec<Vec<u8>>,
}

/// Why a payload isn't one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The payload isn't a map, or a key isn't text.
    #[error("the payload map can't be read: {0}")]
    Map(String),
    /// A field of the wrong type, or broken CBOR inside.
    #[error("field {field}: {reason}")]
    Field {
        /// The field's key.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The same key twice.
    #[error("field {0} appears twice")]
    Twice(&'static str),
    /// A mandatory field is missing.
    #[error("field {0} is missing")]
    Missing(&'static str),
    /// A key that the specification doesn't have.
    #[error("unknown field {0:?}")]
    Unknown(String),
    /// The registers are wrong: number, index, length, or one of them twice.
    #[error("pcrs: {0}")]
    Pcrs(String),
}

/// Fields as they come in, in any order.
#[derive(Default)]
struct Found {
    module_id: Option<String>,
    digest: Option<()>,
    timestamp: Option<u64>,
    pcrs: Option<Pcrs>,
    certificate: Option<Vec<u8>>,
    cabundle: Option<Vec<Vec<u8>>>,
    // The outer Option is the key's presence, the inner one whether it has a value or is null.
    public_key: Option<Option<Vec<u8>>>,
    user_data: Option<Option<Vec<u8>>>,
    nonce: Option<Option<Vec<u8>>>,
}

impl Payload {
    /// Reads a payload, all of it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let map_error = |error: CborError| PayloadError::Map(error.to_string());
        let mut reader = Reader::new(bytes);
        let mut found = Found::default();
        let mut pairs = reader.map(Open::Allowed).map_err(map_error)?;
        while reader.more(&mut pairs).map_err(map_error)? {
            let key = reader.text().map_err(map_error)?;
            found.take(key, &mut reader)?;
        }
        reader.finish().map_err(map_error)?;
        found.complete()
    }

    /// Writes the payload with its fields in the order that AWS uses.
    #[cfg(feature = "development")]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { fields, certificate, cabundle } = self;
        let mut writer = Writer::default();
        writer.map(9);
        writer.text("module_id");
        writer.text(&fields.module_id);
        writer.text("digest");
        writer.text(DIGEST);
        writer.text("timestamp");
        writer.unsigned(fields.timestamp_ms);
        writer.text("pcrs");
        writer.map(fields.pcrs.len());
        for (index, pcr) in &fields.pcrs {
            writer.unsigned((*index).into());
            writer.bytes(pcr);
        }
        writer.text("certificate");
        writer.bytes(certificate);
        writer.text("cabundle");
        writer.array(cabundle.len());
        for certificate in cabundle {
            writer.bytes(certificate);
        }
        for (key, value) in [
            ("public_key", &fields.public_key),
            ("user_data", &fields.user_data),
            ("nonce", &fields.nonce),
        ] {
            writer.text(key);
            match value {
                Some(value) => writer.bytes(value),
                None => writer.null(),
            }
        }
        writer.finish()
    }
}

impl Found {
    fn take(&mut self, key: &str, reader: &mut Reader<'_>) -> Result<(), PayloadError> {
        match key {
            "module_id" => set(&mut self.module_id, "module_id", module_id(reader)),
            "digest" => set(&mut self.digest, "digest", digest(reader)),
            "timestamp" => set(&mut self.timestamp, "timestamp", timestamp(reader)),
            "pcrs" => {
                let pcrs = pcrs(reader).map_err(PayloadError::Pcrs)?;
                set(&mut self.pcrs, "pcrs", Ok(pcrs))
            }
            "certificate" => set(&mut self.certificate, "certificate", sized(reader, 1)),
            "cabundle" => set(&mut self.cabundle, "cabundle", cabundle(reader)),
            "public_key" => set(&mut self.public_key, "public_key", nullable(reader, 1)),
            "user_data" => set(&mut self.user_data, "user_data", nullable(reader, 0)),
            "nonce" => set(&mut self.nonce, "nonce", nullable(reader, 0)),
            unknown => Err(PayloadError::Unknown(unknown.chars().take(40).collect())),
        }
    }

    fn complete(self) -> Result<Payload, PayloadError> {
        self.digest.ok_or(PayloadError::Missing("digest"))?;
        Ok(Payload {
            fields: DocumentFields {
                module_id: self.module_id.ok_or(PayloadError::Missing("module_id"))?,
                timestamp_ms: self.timestamp.ok_or(PayloadError::Missing("timestamp"))?,
                pcrs: self.pcrs.ok_or(PayloadError::Missing("pcrs"))?,
                public_key: self.public_key.flatten(),
                user_data: self.user_data.flatten(),
                nonce: self.nonce.flatten(),
            },
            certificate: self.certificate.ok_or(PayloadError::Missing("certificate"))?,
            cabundle: self.cabundle.ok_or(PayloadError::Missing("cabundle"))?,
        })
    }
}

/// Puts a field in its place, which must be empty.
fn set<T>(
    place: &mut Option<T>,
    field: &'static str,
    value: Result<T, String>,
) -> Result<(), PayloadError> {
    let value = value.map_err(|reason| PayloadError::Field { field, reason })?;
    if place.replace(value).is_some() { Err(PayloadError::Twice(field)) } else { Ok(()) }
}

fn module_id(reader: &mut Reader<'_>) -> Result<String, String> {
    match reader.text().map_err(|error| error.to_string())? {
        "" => Err("is empty".into()),
        text => Ok(text.into()),
    }
}

fn digest(reader: &mut Reader<'_>) -> Result<(), String> {
    match reader.text().map_err(|error| error.to_string())? {
        DIGEST => Ok(()),
        _ => Err(format!("isn't {DIGEST}")),
    }
}

fn timestamp(reader: &mut Reader<'_>) -> Result<u64, String> {
    match reader.unsigned().map_err(|error| error.to_string())? {
        0 => Err("is zero".into()),
        milliseconds => Ok(milliseconds),
    }
}

fn pcrs(reader: &mut Reader<'_>) -> Result<Pcrs, String> {
    let text = |error: CborError| error.to_string();
    let mut pcrs = Pcrs::new();
    let mut pairs = reader.map(Open::Allowed).map_err(text)?;
    while reader.more(&mut pairs).map_err(text)? {
        let number = reader.unsigned().map_err(text)?;
        let index = u8::try_from(number)
            .ok()
            .filter(|index| *index < COUNT)
            .ok_or_else(|| format!("index {number} is above 31"))?;
        let value = reader.bytes().map_err(text)?;
        let pcr = Pcr::try_from(value)
            .map_err(|_| format!("PCR{index} has {} bytes, a {DIGEST} one has 48", value.len()))?;
        if pcrs.insert(index, pcr).is_some() {
            return Err(format!("PCR{index} appears twice"));
        }
    }
    if pcrs.is_empty() { Err("there is none".into()) } else { Ok(pcrs) }
}

fn cabundle(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, String> {
    let text = |error: CborError| error.to_string();
    let mut bundle = Vec::new();
    let mut items = reader.array(Open::Allowed).map_err(text)?;
    while reader.more(&mut items).map_err(text)? {
        bundle.push(sized(reader, 1)?);
    }
    if bundle.is_empty() { Err("is empty".into()) } else { Ok(bundle) }
}

fn nullable(reader: &mut Reader<'_>, least: usize) -> Result<Option<Vec<u8>>, String> {
    if reader.null() { Ok(None) } else { sized(reader, least).map(Some) }
}

fn sized(reader: &mut Reader<'_>, least: usize) -> Result<Vec<u8>, String> {
    let bytes = reader.bytes().map_err(|error| error.to_string())?;
    if (least..=MAX_BYTES).contains(&bytes.len()) {
        Ok(bytes.to_vec())
    } else {
        Err(format!("{} bytes; there must be {least} to {MAX_BYTES}", bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn payloads()(
            module_id in ".{1,40}",
            timestamp_ms in 1u64..,
            pcrs in prop::collection::btree_map(0u8..32, prop::array::uniform32(any::<u8>()), 1..33),
            public_key in prop::option::of(prop::collection::vec(any::<u8>(), 1..1025)),
            user_data in prop::option::of(prop::collection::vec(any::<u8>(), 0..1025)),
            nonce in prop::option::of(prop::collection::vec(any::<u8>(), 0..1025)),
            certificate in prop::collection::vec(any::<u8>(), 1..1025),
            cabundle in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1025), 1..5),
        ) -> Payload {
            let pcrs = pcrs
                .into_iter()
                .map(|(index, value)| (index, crate::extended(&value)))
                .collect();
            let fields =
                DocumentFields { module_id, timestamp_ms, pcrs, public_key, user_data, nonce };
            Payload { fields, certificate, cabundle }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(payload in payloads()) {
            prop_assert_eq!(Payload::decode(&payload.encode()), Ok(payload));
        }

        #[test]
        fn a_cut_payload_is_refused(payload in payloads(), cut: prop::sample::Index) {
            let bytes = payload.encode();
            prop_assert!(Payload::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            prop_assert!(Payload::decode(&bytes).is_err());
        }
    }
}
