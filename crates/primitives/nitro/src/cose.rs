//! The envelope: COSE_Sign1 (RFC 9052, section 4.2) with ES384, in the one form that AWS uses.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use crate::cbor::{CborError, Open, Reader, Writer};

/// The largest payload of the AWS specification, in bytes.
const MAX_PAYLOAD: usize = 16_384;
/// The largest document: array head, tag, protected header, unprotected header, payload, signature.
const MAX_DOCUMENT: usize = MAX_PAYLOAD + 1 + 1 + 5 + 1 + 3 + 2 + SIGNATURE;
/// r and s of P-384, 48 bytes each, big-endian.
const SIGNATURE: usize = 96;
/// `{1: -35}`: the algorithm is ES384. The only protected header there is.
const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
/// COSE_Sign1's tag. AWS leaves it out.
const TAG: u8 = 18;
/// The order of P-384, big-endian (SEC 2, section 2.5.1).
const ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// What is wrong with an envelope, beyond its CBOR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// Another protected header; its beginning in hexadecimal.
    #[error("the protected header is {0}, not a1013822, which is {{1: -35}}, ES384")]
    Algorithm(String),
    /// Something in the unprotected header.
    #[error("the unprotected header isn't empty")]
    Unprotected,
    /// A payload of this length.
    #[error("a payload of {0} bytes; there must be 1 to {MAX_PAYLOAD}")]
    PayloadLength(usize),
    /// A signature of this length.
    #[error("a signature of {0} bytes; ES384 has {SIGNATURE}")]
    SignatureLength(usize),
    /// r or s is zero, or not below the order.
    #[error("r or s isn't between 1 and the order of P-384")]
    SignatureRange,
    /// Not this key's signature.
    #[error("the signature doesn't hold under the certificate's key")]
    Signature,
}

/// An envelope that was taken apart, unchecked.
pub struct Sign1<'a> {
    protected: &'a [u8],
    unprotected: u64,
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Takes a document apart: tag 18 or none, then an array of exactly four.
    pub fn decode(document: &'a [u8]) -> Result<Self, EnvelopeError> {
        if document.len() > MAX_DOCUMENT {
            return Err(EnvelopeError::TooLarge(document.len()));
        }
        let mut reader = Reader::new(document);
        reader.tag(TAG);
        match reader.array(Open::Refused)?.left() {
            Some(4) => {}
            _ => return Err(EnvelopeError::NotFour),
        }
        let protected = reader.bytes()?;
        let unprotected = reader.map(Open::Refused)?.left().unwrap_or_default();
        if unprotected > 0 {
            // What follows can't be read without knowing what the header holds, and needn't be.
            return Ok(Self { protected, unprotected, payload: &[], signature: &[] });
        }
        let payload = reader.bytes()?;
        let signature = reader.bytes()?;
        reader.finish()?;
        Ok(Self { protected, unprotected, payload, signature })
    }

    /// The payload, once the rest of the envelope has the right form.
    pub fn check_form(&self) -> Result<&'a [u8], CoseError> {
        if self.unprotected > 0 {
            return Err(CoseError::Unprotected);
        }
        if self.payload.is_empty() || self.payload.len() > MAX_PAYLOAD {
            return Err(CoseError::PayloadLength(self.payload.len()));
        }
        if self.signature.len() != SIGNATURE {
            return Err(CoseError::SignatureLength(self.signature.len()));
        }
        // High s is normal here, but adding the order to either number must not give a second signature.
        let in_range =
            |number: &[u8]| number.iter().any(|byte| *byte != 0) && number < ORDER.as_slice();
        let (r, s) = self.signature.split_at(SIGNATURE / 2);
        if in_range(r) && in_range(s) { Ok(self.payload) } else { Err(CoseError::SignatureRange) }
    }

    /// The protected header must name ES384 and nothing else.
    pub fn check_algorithm(&self) -> Result<(), CoseError> {
        if self.protected == PROTECTED {
            Ok(())
        } else {
            let shown = self.protected.get(..32).unwrap_or(self.protected);
            Err(CoseError::Algorithm(hex::encode(shown)))
        }
    }

    /// The signature must hold under `public_key`, an uncompressed point of P-384.
    pub fn check_signature(&self, public_key: &[u8]) -> Result<(), CoseError> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key)
            .verify(&signed_bytes(self.payload), self.signature)
            .map_err(|_| CoseError::Signature)
    }
}

/// Why a document can't be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// More bytes than any document has.
    #[error("{0} bytes; a document has at most {MAX_DOCUMENT}")]
    TooLarge(usize),
    /// Not an array of four.
    #[error("COSE_Sign1 is an array of four")]
    NotFour,
    /// Not strict CBOR.
    #[error(transparent)]
    Cbor(#[from] CborError),
}

/// What is signed: `Sig_structure` of RFC 9052, section 4.4, without external data.
pub fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(4);
    writer.text("Signature1");
    writer.bytes(&PROTECTED);
    writer.bytes(&[]);
    writer.bytes(payload);
    writer.finish()
}

/// The envelope of a payload and its signature, untagged as AWS sends it.
#[cfg(feature = "development")]
pub fn encode(payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(4);
    writer.bytes(&PROTECTED);
    writer.map(0);
    writer.bytes(payload);
    writer.bytes(signature);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(signature: &[u8]) -> Result<(), CoseError> {
        Sign1::decode(&encode(b"payload", signature)).unwrap().check_form().map(drop)
    }

    #[test]
    fn both_numbers_of_a_signature_have_a_range() {
        let one = { [[0; 47].as_slice(), &[1]].concat() };
        let below = { [&ORDER[..47], &[0x72]].concat() };
        assert_eq!(form(&[one.clone(), below.clone()].concat()), Ok(()));
        for bad in [vec![0; 48], ORDER.to_vec(), vec![0xff; 48]] {
            for pair in [[bad.clone(), one.clone()], [below.clone(), bad]] {
                assert_eq!(form(&pair.concat()), Err(CoseError::SignatureRange));
            }
        }
        for length in [0, 64, 95, 97, 132] {
            assert_eq!(form(&vec![1; length]), Err(CoseError::SignatureLength(length)));
        }
    }

    #[test]
    fn the_largest_payload_fits_and_no_larger_one() {
        let sign1 = encode(&vec![1; MAX_PAYLOAD], &[1; SIGNATURE]);
        assert_eq!(sign1.len() + 1, MAX_DOCUMENT);
        assert!(Sign1::decode(&sign1).unwrap().check_form().is_ok());
        let sign1 = encode(&vec![1; MAX_PAYLOAD + 1], &[1; SIGNATURE]);
        assert_eq!(
            Sign1::decode(&sign1).unwrap().check_form().err(),
            Some(CoseError::PayloadLength(MAX_PAYLOAD + 1))
        );
        assert!(Sign1::decode(&encode(&vec![1; MAX_PAYLOAD + 2], &[1; SIGNATURE])).is_err());
    }
}
