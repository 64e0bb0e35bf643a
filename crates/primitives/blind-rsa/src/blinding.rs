//! Both ends of a blind signature on the side that wants it (RFC 9474 sections 4.1, 4.2 and 4.4).

use zeroize::Zeroizing;

use crate::public_key::EXPONENT;
use crate::{KeyError, PublicKey, VerifyError, pss};

/// How often sampling tries before it blames its source: each try fails with probability 1/2 at most.
const SAMPLING_TRIES: usize = 128;

/// The secret number that hides a message from its signer; wiped on drop, used for one message.
pub struct BlindingFactor(Zeroizing<Vec<u8>>);

impl BlindingFactor {
    /// Draws a number between 1 and N - 1 by rejection: `fill` is asked for as many bytes as the
    /// modulus has, again and again, until they are in range. Equal bytes give an equal factor.
    pub fn sample(key: &PublicKey, mut fill: impl FnMut(&mut [u8])) -> Result<Self, BlindError> {
        let mut bytes = Zeroizing::new(vec![0; key.length()]);
        for _ in 0..SAMPLING_TRIES {
            fill(&mut bytes);
            if key.modulus().check(&bytes).is_ok() && bytes.iter().any(|byte| *byte != 0) {
                return Ok(Self(bytes));
            }
        }
        Err(BlindError::Source)
    }

    /// The factor with these big-endian bytes, below the modulus and as long as it; for test vectors
    /// and interoperation.
    pub fn from_bytes(key: &PublicKey, bytes: &[u8]) -> Result<Self, BlindError> {
        key.modulus().check(bytes).map_err(BlindError::of)?;
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }
}

/// What takes the blinding off again: the factor's inverse; wiped on drop.
pub struct Unblinder(Zeroizing<Vec<u8>>);

/// A message that its signer can't read: as many bytes as the modulus has, below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindedMessage(Vec<u8>);

impl BlindedMessage {
    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An RSASSA-PSS signature: as many bytes as the modulus has, below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Prepares a message for the randomized variants: 32 random bytes before it (RFC 9474 section 4.1).
#[must_use]
pub fn prepare_randomized(prefix: &[u8; 32], message: &[u8]) -> Vec<u8> {
    [prefix, message].concat()
}

/// Encodes a prepared message with `salt` and hides it (RFC 9474 section 4.2).
///
/// The encoded message must be coprime to the modulus, else the signer would learn a residue of it;
/// one inversion, that of message times factor, shows this and yields the factor's inverse.
pub fn blind(
    key: &PublicKey,
    prepared_message: &[u8],
    salt: &[u8],
    factor: &BlindingFactor,
) -> Result<(BlindedMessage, Unblinder), BlindError> {
    let encoded =
        pss::encode(prepared_message, salt, key.length()).ok_or(BlindError::SaltTooLong)?;
    let modulus = key.modulus();
    let both = modulus.mul(&encoded, &factor.0).map_err(BlindError::of)?;
    let inverse_of_both = modulus.inverse(&both).map_err(BlindError::of)?;
    let inverse = modulus.mul(&inverse_of_both, &encoded).map_err(BlindError::of)?;
    Ok((blinded(key, &encoded, factor)?, Unblinder(inverse)))
}

/// The very message that [`blind`] made of the same arguments, for whoever checks where it came from: without what
/// takes the blinding off again, and without the inversion that yields it.
pub fn blind_again(
    key: &PublicKey,
    prepared_message: &[u8],
    salt: &[u8],
    factor: &BlindingFactor,
) -> Result<BlindedMessage, BlindError> {
    let encoded =
        pss::encode(prepared_message, salt, key.length()).ok_or(BlindError::SaltTooLong)?;
    blinded(key, &encoded, factor)
}

fn blinded(
    key: &PublicKey,
    encoded: &[u8],
    factor: &BlindingFactor,
) -> Result<BlindedMessage, BlindError> {
    let mask = key.modulus().pow(&factor.0, EXPONENT).map_err(BlindError::of)?;
    let blinded = key.modulus().mul(encoded, &mask).map_err(BlindError::of)?;
    Ok(BlindedMessage(blinded.to_vec()))
}

/// Takes the blinding off the signer's answer, and verifies what comes out (RFC 9474 section 4.4).
pub fn finalize(
    key: &PublicKey,
    prepared_message: &[u8],
    salt_length: usize,
    blind_signature: &[u8],
    unblinder: &Unblinder,
) -> Result<Signature, FinalizeError> {
    let signature =
        key.modulus().mul(blind_signature, &unblinder.0).map_err(|error| match error {
            rsa_raw::Error::Library => FinalizeError::Library,
            _ => FinalizeError::Answer,
        })?;
    key.verify(prepared_message, salt_length, &signature).map_err(|error| match error {
        VerifyError::Invalid => FinalizeError::Answer,
        VerifyError::Library => FinalizeError::Library,
    })?;
    Ok(Signature(signature.to_vec()))
}

/// Why a message was not blinded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlindError {
    /// The caller's salt is longer than the modulus allows.
    #[error("the salt is too long for the key")]
    SaltTooLong,
    /// The caller's factor has the wrong length, or is not below the modulus.
    #[error("the blinding factor is out of range")]
    Factor,
    /// The caller's source of bytes never gave a number below the modulus: it is broken.
    #[error("the source of randomness is broken")]
    Source,
    /// A number shares a factor with the modulus: the issuer's key is not sound, don't use it.
    #[error(transparent)]
    Key(KeyError),
    /// Out of memory, for instance.
    #[error("the cryptographic library failed")]
    Library,
}

impl BlindError {
    const fn of(error: rsa_raw::Error) -> Self {
        match error {
            rsa_raw::Error::Length | rsa_raw::Error::OutOfRange => Self::Factor,
            rsa_raw::Error::NotInvertible => Self::Key(KeyError::Unsound),
            _ => Self::Library,
        }
    }
}

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinalizeError {
    /// The signer's answer is not a signature of the blinded message. Ask again with the same one.
    #[error("the signer's answer is not a signature of what was blinded")]
    Answer,
    /// Out of memory, for instance.
    #[error("the cryptographic library failed")]
    Library,
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA384, RsaPublicKeyComponents};

    use super::*;
    use crate::{AwsLcSigner, RawSigner};

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0u8;
        move |bytes| {
            bytes.iter_mut().for_each(|byte| {
                next = next.wrapping_mul(5).wrapping_add(17);
                *byte = next;
            });
        }
    }

    #[test]
    fn a_blind_signature_verifies_and_only_for_its_message() {
        let signer = AwsLcSigner::generate(2048).unwrap();
        let key = signer.public_key();
        let factor = BlindingFactor::sample(key, counting()).unwrap();
        let (blinded, unblinder) = blind(key, b"message", &[3; 48], &factor).unwrap();
        assert_eq!(blind_again(key, b"message", &[3; 48], &factor), Ok(blinded.clone()));
        assert_ne!(blind_again(key, b"message", &[4; 48], &factor), Ok(blinded.clone()));
        let answer = signer.sign_blinded(blinded.as_bytes()).unwrap();
        let signature = finalize(key, b"message", 48, &answer, &unblinder).unwrap();
        assert_eq!(key.verify(b"message", 48, signature.as_bytes()), Ok(()));
        // To a verifier that isn't ours it is an ordinary PSS signature.
        let components = RsaPublicKeyComponents { n: key.modulus().as_bytes(), e: &[1, 0, 1] };
        let theirs = &RSA_PSS_2048_8192_SHA384;
        assert!(components.verify(theirs, b"message", signature.as_bytes()).is_ok());
        assert_eq!(key.verify(b"massage", 48, signature.as_bytes()), Err(VerifyError::Invalid));
        assert_eq!(key.verify(b"message", 0, signature.as_bytes()), Err(VerifyError::Invalid));

        let mut wrong = answer.clone();
        wrong[100] ^= 1;
        for answer in [&wrong[..], &answer[1..], &[0xff; 256], &[]] {
            let refused = finalize(key, b"message", 48, answer, &unblinder);
            assert_eq!(refused, Err(FinalizeError::Answer));
        }
        assert!(finalize(key, b"massage", 48, &answer, &unblinder).is_err());
    }

    #[test]
    fn a_signature_has_one_form() {
        let signer = AwsLcSigner::generate(2048).unwrap();
        let key = signer.public_key();
        // A salt after another, until the signature is small enough that S + N has 2048 bits, too.
        let (signature, plus_modulus) = (0u32..)
            .find_map(|salt| {
                let salt = salt.to_be_bytes().repeat(12);
                let encoded = pss::encode(b"message", &salt, 256).unwrap();
                let signature = signer.sign_blinded(&encoded).unwrap();
                let mut carry = 0u16;
                let mut sum: Vec<u8> = signature
                    .iter()
                    .zip(key.modulus().as_bytes())
                    .rev()
                    .map(|(a, b)| {
                        carry += u16::from(*a) + u16::from(*b);
                        let low = carry as u8;
                        carry >>= 8;
                        low
                    })
                    .collect();
                sum.reverse();
                (carry == 0).then_some((signature, sum))
            })
            .unwrap();
        assert_eq!(key.verify(b"message", 48, &signature), Ok(()));
        let padded = [&[0][..], &signature].concat();
        for other in [&plus_modulus[..], &padded, &signature[1..], &[]] {
            assert_eq!(key.verify(b"message", 48, other), Err(VerifyError::Invalid));
        }
    }

    #[test]
    fn factors_are_sampled_in_range() {
        let signer = AwsLcSigner::generate(2048).unwrap();
        let key = signer.public_key();
        // Out of range twice (zero; all ones), then fine: the third is taken.
        let mut tries = 0;
        let factor = BlindingFactor::sample(key, |bytes| {
            bytes.fill([0, 0xff, 0x11][tries]);
            tries += 1;
        });
        assert_eq!(*factor.unwrap().0, vec![0x11; 256]);
        assert_eq!(tries, 3);
        assert_eq!(
            BlindingFactor::sample(key, |bytes| bytes.fill(0xff)).err(),
            Some(BlindError::Source)
        );
        assert!(BlindingFactor::from_bytes(key, &[1; 255]).is_err());
        assert!(BlindingFactor::from_bytes(key, &[0xff; 256]).is_err());
    }

    #[test]
    fn unsound_keys_and_long_salts_are_refused() {
        // 2^2047 + 30,561 is divisible by 5,011, too large a prime for the trial division.
        let mut modulus = [0; 256];
        modulus[0] = 0x80;
        modulus[254..].copy_from_slice(&30_561u16.to_be_bytes());
        let key = PublicKey::from_modulus(&modulus).unwrap();
        let mut factor = [0; 256];
        factor[254..].copy_from_slice(&5_011u16.to_be_bytes());
        let factor = BlindingFactor::from_bytes(&key, &factor).unwrap();
        let refused = blind(&key, b"message", &[0; 48], &factor).err();
        assert_eq!(refused, Some(BlindError::Key(KeyError::Unsound)));
        let long = blind(&key, b"message", &[0; 207], &factor).err();
        assert_eq!(long, Some(BlindError::SaltTooLong));
    }
}
