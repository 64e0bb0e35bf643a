//! What a backup's writer signs, and its check.
//!
//! ```text
//! write  = "cloakroom v1 backup write" || locator (32) || SHA-256(blob) (32)
//! remove = "cloakroom v1 backup remove" || locator (32)
//! ```
//!
//! Nothing in them is fresh: whoever recorded a request may send it once more. That brings back an earlier backup of the same
//! place, or removes what was removed before, and is said in `docs/adr/0014-access-code.md`.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use crate::{Blob, Locator, Remove, Signature, Write, WriteKey};

const WRITE_LABEL: &[u8] = b"cloakroom v1 backup write";
const REMOVE_LABEL: &[u8] = b"cloakroom v1 backup remove";

/// The signature isn't the key's over this request.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature is not the write key's over this request")]
pub struct BadSignature;

/// What is signed to write a backup.
#[must_use]
pub fn write_message(locator: &Locator, blob: &Blob) -> Vec<u8> {
    [WRITE_LABEL, locator.bytes(), digest(&SHA256, blob.bytes()).as_ref()].concat()
}

/// What is signed to remove one.
#[must_use]
pub fn remove_message(locator: &Locator) -> Vec<u8> {
    [REMOVE_LABEL, locator.bytes()].concat()
}

impl Write {
    /// Checks the signature: where to keep what.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(self) -> Result<(Locator, Blob), BadSignature> {
        let locator = Locator::of(&self.write_key);
        check(&self.write_key, &write_message(&locator, &self.blob), &self.signature)?;
        Ok((locator, self.blob))
    }
}

impl Remove {
    /// Checks the signature: what to remove.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(self) -> Result<Locator, BadSignature> {
        let locator = Locator::of(&self.write_key);
        check(&self.write_key, &remove_message(&locator), &self.signature)?;
        Ok(locator)
    }
}

fn check(key: &WriteKey, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
    let key = UnparsedPublicKey::new(&ED25519, key.bytes());
    key.verify(message, signature.bytes()).map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;
    use crate::BLOB_SIZE;

    fn pair(seed: u8) -> (Ed25519KeyPair, WriteKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = WriteKey::from_bytes(pair.public_key().as_ref().try_into().unwrap());
        (pair, key)
    }

    fn sign(pair: &Ed25519KeyPair, message: &[u8]) -> Signature {
        Signature::from_bytes(pair.sign(message).as_ref().try_into().unwrap())
    }

    #[test]
    fn a_backup_is_written_by_its_key_alone() {
        let ((one, key), (other, other_key)) = (pair(1), pair(2));
        let (locator, blob) = (Locator::of(&key), Blob::new(vec![7; BLOB_SIZE]).unwrap());
        let write = |write_key, signature| Write { write_key, blob: blob.clone(), signature };
        let good = sign(&one, &write_message(&locator, &blob));
        let (at, kept) = write(key, good).verify().unwrap();
        assert!(at == locator && kept == blob);
        let another = Blob::new(vec![8; BLOB_SIZE]).unwrap();
        let elsewhere = Locator::of(&other_key);
        for (what, write_key, signature) in [
            ("another's signature", key, sign(&other, &write_message(&locator, &blob))),
            ("another's key", other_key, good),
            ("another backup", key, sign(&one, &write_message(&locator, &another))),
            ("another place", key, sign(&one, &write_message(&elsewhere, &blob))),
            ("a removal", key, sign(&one, &remove_message(&locator))),
            ("nothing", key, Signature::from_bytes([0; 64])),
        ] {
            assert!(write(write_key, signature).verify().is_err(), "{what}");
        }
    }

    #[test]
    fn a_backup_is_removed_by_its_key_alone() {
        let ((one, key), (other, other_key)) = (pair(1), pair(2));
        let locator = Locator::of(&key);
        let remove = |write_key, signature| Remove { write_key, signature };
        let good = sign(&one, &remove_message(&locator));
        assert!(remove(key, good).verify().is_ok_and(|at| at == locator));
        let blob = Blob::new(vec![7; BLOB_SIZE]).unwrap();
        for (what, write_key, signature) in [
            ("another's signature", key, sign(&other, &remove_message(&locator))),
            ("another's key", other_key, good),
            ("another place", key, sign(&one, &remove_message(&Locator::of(&other_key)))),
            ("a write", key, sign(&one, &write_message(&locator, &blob))),
        ] {
            assert!(remove(write_key, signature).verify().is_err(), "{what}");
        }
    }
}
