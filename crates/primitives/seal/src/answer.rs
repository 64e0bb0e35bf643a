//! The answer to a sealed request (RFC 9458 section 4.4, with a label of our own).
//!
//! ```text
//! secret = Export("cloakroom v1 answer", 32)
//! prk    = HKDF-Extract(salt = enc || response nonce, secret)
//! key    = HKDF-Expand(prk, "key", 32),  nonce = HKDF-Expand(prk, "nonce", 12)
//! ```

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use coarse::Secret;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::Error;
use crate::hkdf::{Hkdf, exported};
use crate::padding::{pad, unpad};

const LABEL: &[u8] = b"cloakroom v1 answer";
const NONCE: usize = 32;
const TAG: usize = 16;

/// What seals the one answer to an opened request.
pub struct AnswerSealer(Exported);

/// What opens the one answer to a sealed request. It has no `Debug`.
pub struct AnswerKey(Exported);

impl AnswerSealer {
    pub(crate) fn new(
        export: impl FnOnce(&[u8], &mut [u8]) -> bool,
        enc: [u8; 32],
    ) -> Result<Self, Error> {
        Exported::new(export, enc).map(Self)
    }

    /// Seals the answer in an envelope of `size` plaintext bytes.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn seal(
        self,
        plaintext: &[u8],
        size: usize,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, Error> {
        let mut padded = pad(plaintext, size)?;
        let mut response_nonce = [0; NONCE];
        rng.fill_bytes(&mut response_nonce);
        let (key, nonce) = self.0.cipher(&response_nonce)?;
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut padded)
            .map_err(|_| Error::TooLong)?;
        Ok([&response_nonce[..], &padded, tag.as_ref()].concat())
    }
}

impl AnswerKey {
    pub(crate) fn new(
        export: impl FnOnce(&[u8], &mut [u8]) -> bool,
        enc: [u8; 32],
    ) -> Result<Self, Error> {
        Exported::new(export, enc).map(Self)
    }

    /// Opens an answer of `size` plaintext bytes.
    ///
    /// # Errors
    /// [`Error::Unopenable`].
    pub fn open(&self, sealed: &[u8], size: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (response_nonce, ciphertext) =
            sealed.split_first_chunk::<NONCE>().ok_or(Error::Unopenable)?;
        if ciphertext.len() != size + TAG {
            return Err(Error::Unopenable);
        }
        let (key, nonce) = self.0.cipher(response_nonce)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let padded =
            key.open_in_place(nonce, Aad::empty(), &mut buffer).map_err(|_| Error::Unopenable)?;
        unpad(padded)
    }
}

struct Exported {
    secret: Secret<32>,
    enc: [u8; 32],
}

impl Exported {
    fn new(export: impl FnOnce(&[u8], &mut [u8]) -> bool, enc: [u8; 32]) -> Result<Self, Error> {
        Ok(Self { secret: exported(export, LABEL)?, enc })
    }

    fn cipher(&self, response_nonce: &[u8; NONCE]) -> Result<(LessSafeKey, Nonce), Error> {
        let salt = [self.enc, *response_nonce].concat();
        let prk = Hkdf::extract(&salt, &self.secret);
        let mut key = Zeroizing::new([0; 32]);
        let mut nonce = [0; 12];
        prk.expand(&[b"key"], &mut *key)?;
        prk.expand(&[b"nonce"], &mut nonce)?;
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| Error::Unopenable)?;
        Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key(nonce)))
    }
}
