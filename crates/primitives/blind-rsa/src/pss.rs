//! EMSA-PSS (RFC 8017 section 9.1) with SHA-384 and MGF1-SHA-384, for moduli of whole bytes.
//!
//! The encoded message is as long as the modulus, and its top bit is clear:
//! `masked_db || H || 0xbc`, where `H = SHA-384(0^8 || SHA-384(message) || salt)` and
//! `db = 0.. || 0x01 || salt`. No step branches on, or indexes by, message or salt.

use aws_lc_rs::digest::{self, SHA384, SHA384_OUTPUT_LEN};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const TRAILER: u8 = 0xbc;

/// Encodes `message` with `salt` into `length` bytes; `None` if they don't fit.
pub(crate) fn encode(message: &[u8], salt: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let db_length = length.checked_sub(SHA384_OUTPUT_LEN + 1)?;
    let zeros = db_length.checked_sub(salt.len() + 1)?;

    let mut context = digest::Context::new(&SHA384);
    context.update(&[0; 8]);
    context.update(digest::digest(&SHA384, message).as_ref());
    context.update(salt);
    let hash = context.finish();

    let mut encoded = Zeroizing::new(Vec::with_capacity(length));
    encoded.resize(zeros, 0);
    encoded.push(1);
    encoded.extend_from_slice(salt);
    apply_mask(&mut encoded, hash.as_ref());
    encoded.extend_from_slice(hash.as_ref());
    encoded.push(TRAILER);
    Some(encoded)
}

/// Whether `encoded` is what [`encode`] makes of `message` and some salt of `salt_length` bytes: the
/// salt is read back, and everything else has to come out the same.
pub(crate) fn verify(message: &[u8], salt_length: usize, encoded: &[u8]) -> bool {
    let Some(db_length) = encoded.len().checked_sub(SHA384_OUTPUT_LEN + 1) else {
        return false;
    };
    let (masked_db, rest) = encoded.split_at(db_length);
    let Some(hash) = rest.get(..SHA384_OUTPUT_LEN) else {
        return false;
    };
    let mut db = masked_db.to_vec();
    apply_mask(&mut db, hash);
    let salt = db.len().checked_sub(salt_length).and_then(|start| db.get(start..));
    salt.and_then(|salt| encode(message, salt, encoded.len()))
        .is_some_and(|again| again.ct_eq(encoded).into())
}

/// XORs MGF1(seed) onto `db` and clears its top bit.
fn apply_mask(db: &mut [u8], seed: &[u8]) {
    for (counter, block) in (0u32..).zip(db.chunks_mut(SHA384_OUTPUT_LEN)) {
        let mut context = digest::Context::new(&SHA384);
        context.update(seed);
        context.update(&counter.to_be_bytes());
        for (byte, mask) in block.iter_mut().zip(context.finish().as_ref()) {
            *byte ^= mask;
        }
    }
    if let Some(first) = db.first_mut() {
        *first &= 0x7f;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_encoding_verifies() {
        let encoded = encode(b"message", &[7; 48], 256).unwrap();
        assert!(verify(b"message", 48, &encoded));
        assert!(!verify(b"massage", 48, &encoded));
        assert!(!verify(b"message", 47, &encoded));
        assert!(!verify(b"message", 0, &encoded));
        // Every bit counts: the cleared top bit, the zeros, the salt, the hash, the trailer.
        for bit in 0..encoded.len() * 8 {
            let mut spoilt = encoded.to_vec();
            spoilt[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(!verify(b"message", 48, &spoilt), "bit {bit}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(encode(b"", &[0; 48], 98).is_some());
        assert!(encode(b"", &[0; 48], 97).is_none());
        assert!(encode(b"", &[], 3).is_none());
        assert!(!verify(b"", 48, &[0; 40]));
        assert!(!verify(b"", 300, &[0; 256]));
    }
}
