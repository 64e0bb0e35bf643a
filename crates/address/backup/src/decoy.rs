//! What is answered where there is no backup.
//!
//! ```text
//! decoy = HKDF-SHA256(ikm = the service's secret, no salt, info = "cloakroom v1 no backup" || locator (32)), 3,072 bytes
//! ```
//!
//! A backup is a random nonce and what AES-GCM makes of its content: bytes that can't be told from random ones without the key. So can
//! these be not, without the secret; and they are the same each time, as a backup is between two writes.

use std::path::Path;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use backup_api::{BLOB_SIZE, Blob, Locator};
use coarse::{Secret, system_rng};
use store::SecretFileError;

const LABEL: &[u8] = b"cloakroom v1 no backup";
/// Where the secret is, in the state directory. Whoever restores the database restores it, too: with another one, what is answered
/// changes at all places but those with a backup.
const FILE: &str = "decoy.key";

/// What makes decoys. It has no `Debug`.
pub struct Decoy(Prk);

/// A decoy can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoyError;

impl std::fmt::Display for DecoyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the cryptographic library refused to derive bytes")
    }
}

impl std::error::Error for DecoyError {}

impl From<Unspecified> for DecoyError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl Decoy {
    /// Decoys by this secret.
    #[must_use]
    pub fn new(secret: &Secret<32>) -> Self {
        Self(Salt::new(HKDF_SHA256, &[]).extract(secret.expose()))
    }

    /// Decoys by the secret in a state directory; made at first use.
    ///
    /// # Errors
    /// [`SecretFileError`].
    pub fn load(state: &Path) -> Result<Self, SecretFileError> {
        Ok(Self::new(&store::load_or_create(&state.join(FILE), &mut system_rng())?))
    }

    /// What stands at a place without a backup.
    ///
    /// # Errors
    /// [`DecoyError`], which the library gives for other lengths only.
    pub fn at(&self, locator: &Locator) -> Result<Blob, DecoyError> {
        struct Size;
        impl KeyType for Size {
            fn len(&self) -> usize {
                BLOB_SIZE
            }
        }
        let mut bytes = vec![0; BLOB_SIZE];
        self.0.expand(&[LABEL, locator.bytes()], Size)?.fill(&mut bytes)?;
        Blob::new(bytes).ok_or(DecoyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secret: u8, locator: u8) -> Vec<u8> {
        let decoy = Decoy::new(&Secret::new([secret; 32]));
        decoy.at(&Locator::from_bytes([locator; 32])).unwrap().bytes().to_vec()
    }

    #[test]
    fn each_place_has_one_decoy_of_each_service() {
        assert_eq!(at(1, 1), at(1, 1));
        assert_ne!(at(1, 1), at(1, 2));
        assert_ne!(at(1, 1), at(2, 1));
    }

    #[test]
    fn a_decoy_has_no_pattern() {
        let bytes = at(1, 1);
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        // 24,576 bits, half of them expected, a standard deviation of 78: nine of them either way.
        assert!((11_586..12_990).contains(&ones), "{ones}");
        let blocks: std::collections::BTreeSet<&[u8]> = bytes.chunks(16).collect();
        assert_eq!(blocks.len(), BLOB_SIZE / 16);
    }
}
