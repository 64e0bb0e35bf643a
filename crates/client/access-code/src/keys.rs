//! The keys of a backup, and the envelope that it lies in.
//!
//! ```text
//! key      = HKDF-SHA256(ikm = root, no salt, info = "cloakroom v1 backup key"), 32 bytes
//! write    = Ed25519 key whose seed is HKDF-SHA256(.., info = "cloakroom v1 backup write key"), 32 bytes
//! locator  = SHA-256("cloakroom v1 backup locator" || public half of write (32))
//! blob     = nonce (12) || AES-256-GCM(key, nonce, plain, associated data = "cloakroom v1 backup" || locator)   3,072 bytes in all
//! plain    = version (u8) = 1 || length of contents (u16) || contents || zeros                                3,044 bytes
//! ```
//!
//! Nothing of a blob is in clear, not even a version: who holds it can't tell it from random bytes.

use accounts_api::AccountSalt;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use backup_api::{
    BLOB_SIZE, Blob, Locator, Remove, Signature, Write, WriteKey, remove_message, write_message,
};
use coarse::Secret;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{AccessCode, Contents, DeriveError, derive};

const SEAL_LABEL: &[u8] = b"cloakroom v1 backup key";
const WRITE_LABEL: &[u8] = b"cloakroom v1 backup write key";
const BOUND_LABEL: &[u8] = b"cloakroom v1 backup";
const VERSION: u8 = 1;
const TAG: usize = 16;
const PLAIN: usize = BLOB_SIZE - NONCE_LEN - TAG;
/// Version and length.
const PREFIX: usize = 3;

/// The keys of one backup. They are as good as the code that they come from, and have no `Debug`.
pub struct BackupKeys {
    root: Secret<32>,
    seal: Secret<32>,
    write: Ed25519KeyPair,
    write_key: WriteKey,
    locator: Locator,
}

/// Why contents can't be sealed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("this lease is too long to describe for a backup's one size")]
pub struct SealError;

/// Why a backup doesn't open.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Sealed under another code or salt, spoilt, or no backup at all.
    #[error("there is no backup under this Access Code")]
    Unopenable,
    /// It opens, and says something that this program doesn't know.
    #[error("the backup was written by a newer version of this program; update it")]
    Newer,
}

impl BackupKeys {
    /// The keys that come of a code and the account's salt. Takes 64 MiB of memory, and its time.
    ///
    /// # Errors
    /// [`DeriveError`].
    pub fn derive(code: &AccessCode, salt: &AccountSalt) -> Result<Self, DeriveError> {
        Self::from_root(derive::root(code, salt)?)
    }

    /// The keys that come of the stretched secret.
    ///
    /// # Errors
    /// [`DeriveError::Library`].
    pub fn from_root(root: Secret<32>) -> Result<Self, DeriveError> {
        let seal = expand(&root, SEAL_LABEL)?;
        let seed = expand(&root, WRITE_LABEL)?;
        let write = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        let write = write.map_err(|_| DeriveError::Library)?;
        let public = write.public_key().as_ref().try_into().map_err(|_| DeriveError::Library)?;
        let write_key = WriteKey::from_bytes(public);
        Ok(Self { root, seal, write, write_key, locator: Locator::of(&write_key) })
    }

    /// The stretched secret, for the wallet that keeps it in the code's place.
    #[must_use]
    pub const fn root(&self) -> &Secret<32> {
        &self.root
    }

    /// Where the backup is.
    #[must_use]
    pub const fn locator(&self) -> &Locator {
        &self.locator
    }

    /// Whether these are the same keys.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.root.same_as(&other.root)
    }

    /// Seals contents into a backup.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, contents: &Contents, rng: &mut impl CryptoRng) -> Result<Blob, SealError> {
        let mut plain = pad(&contents.encode().ok_or(SealError)?).ok_or(SealError)?;
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let aad = Aad::from(self.bound());
        let tag = self
            .cipher()
            .ok_or(SealError)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plain)
            .map_err(|_| SealError)?;
        Blob::new([&nonce[..], &plain, tag.as_ref()].concat()).ok_or(SealError)
    }

    /// Opens a backup.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, blob: &Blob) -> Result<Contents, OpenError> {
        let (nonce, sealed) =
            blob.bytes().split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Unopenable)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let cipher = self.cipher().ok_or(OpenError::Unopenable)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = cipher
            .open_in_place(nonce, Aad::from(self.bound()), &mut buffer)
            .map_err(|_| OpenError::Unopenable)?;
        unpad(plain).and_then(Contents::decode).ok_or(OpenError::Newer)
    }

    /// The request that keeps a backup.
    #[must_use]
    pub fn write(&self, blob: Blob) -> Write {
        let signature = self.sign(&write_message(&self.locator, &blob));
        Write { write_key: self.write_key, blob, signature }
    }

    /// The request that removes it.
    #[must_use]
    pub fn remove(&self) -> Remove {
        let signature = self.sign(&remove_message(&self.locator));
        Remove { write_key: self.write_key, signature }
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(self.write.sign(message).as_ref()) {
            *to = *from;
        }
        Signature::from_bytes(bytes)
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, self.seal.expose()).ok().map(LessSafeKey::new)
    }

    fn bound(&self) -> Vec<u8> {
        [BOUND_LABEL, self.locator.bytes()].concat()
    }
}

fn pad(contents: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let length = u16::try_from(contents.len()).ok()?;
    if contents.len() + PREFIX > PLAIN {
        return None;
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(PLAIN));
    plain.push(VERSION);
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(contents);
    plain.resize(PLAIN, 0);
    Some(plain)
}

/// What [`pad`] was given; refuses another version, a length that lies and padding that isn't zero.
fn unpad(plain: &[u8]) -> Option<&[u8]> {
    let ([version, length @ ..], rest) = plain.split_first_chunk::<PREFIX>()?;
    let (contents, zeros) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    (*version == VERSION && zeros.iter().all(|byte| *byte == 0)).then_some(contents)
}

/// HKDF-SHA256 (RFC 5869) of the root, by a label.
fn expand(root: &Secret<32>, label: &[u8]) -> Result<Secret<32>, DeriveError> {
    struct Bytes;
    impl KeyType for Bytes {
        fn len(&self) -> usize {
            32
        }
    }
    let prk = Salt::new(HKDF_SHA256, &[]).extract(root.expose());
    let mut out = Zeroizing::new([0; 32]);
    prk.expand(&[label], Bytes)
        .and_then(|okm| okm.fill(&mut *out))
        .map_err(|_| DeriveError::Library)?;
    Ok(Secret::new(*out))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
