//! The public key: what a token's signature is verified with, and what a client blinds for.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rsa_raw::Modulus;
use subtle::ConstantTimeEq as _;

use crate::pss;

/// Length in bytes of the SubjectPublicKeyInfo of a 2048-bit key.
pub const SPKI_LENGTH: usize = 342;

/// The one public exponent.
pub(crate) const EXPONENT: u32 = 65_537;

/// An RSASSA-PSS public key with the exponent 65,537. Cheap to clone.
///
/// Its modulus has 2048 to 4096 bits in whole bytes, is odd and has no prime factor below 4,096: a key
/// with small factors would let its maker read something of a blinded message.
#[derive(Clone)]
pub struct PublicKey(Arc<Modulus>);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in the one form of RFC 9578 section 6.5: `id-RSASSA-PSS` with
    /// SHA-384, MGF1-SHA-384 and 48 bytes of salt, 2048 bits, 342 bytes in all. Any other DER is
    /// refused, so that a key has one encoding, and one key id.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let start = SPKI_LENGTH - EXPONENT_DER.len() - 256;
        let modulus = match der.get(start..start + 256) {
            Some(modulus) if der.len() == SPKI_LENGTH => modulus,
            _ => return Err(KeyError::Encoding),
        };
        // All that isn't the modulus is fixed: it must come out the same.
        if spki(modulus) != der {
            return Err(KeyError::Encoding);
        }
        Self::from_modulus(modulus)
    }

    /// The key with this modulus: 2048 to 4096 bits, big-endian, the first byte's top bit set.
    pub fn from_modulus(modulus: &[u8]) -> Result<Self, KeyError> {
        if modulus.first().is_none_or(|first| first.leading_zeros() > 0) {
            return Err(KeyError::Size);
        }
        let parsed = Modulus::new(modulus).map_err(|error| match error {
            rsa_raw::Error::Modulus => KeyError::Size,
            _ => KeyError::Library,
        })?;
        if has_small_factor(modulus) {
            return Err(KeyError::Unsound);
        }
        Ok(Self(Arc::new(parsed)))
    }

    /// The SubjectPublicKeyInfo: DER, 342 bytes for 2048 bits.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        spki(self.0.as_bytes())
    }

    /// Length of the modulus, of blinded messages and of signatures, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.length()
    }

    /// Verifies an RSASSA-PSS signature (RFC 8017 section 8.1.2) of a prepared message. The signature
    /// is as long as the modulus and below it: each has one form.
    pub fn verify(
        &self,
        message: &[u8],
        salt_length: usize,
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let encoded = self.0.pow(signature, EXPONENT).map_err(|error| match error {
            rsa_raw::Error::Library => VerifyError::Library,
            _ => VerifyError::Invalid,
        })?;
        if pss::verify(message, salt_length, &encoded) { Ok(()) } else { Err(VerifyError::Invalid) }
    }

    /// Verifies that a signature is the one over `message` with this very salt: there is exactly one. An ordinary verifier
    /// can't tell signatures of one message with different salts apart as to where they came from.
    pub fn verify_with_salt(
        &self,
        message: &[u8],
        salt: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let opened = self.0.pow(signature, EXPONENT).map_err(|error| match error {
            rsa_raw::Error::Library => VerifyError::Library,
            _ => VerifyError::Invalid,
        })?;
        let encoded = pss::encode(message, salt, self.length()).ok_or(VerifyError::Invalid)?;
        if opened.ct_eq(&encoded).into() { Ok(()) } else { Err(VerifyError::Invalid) }
    }

    pub(crate) fn modulus(&self) -> &Modulus {
        &self.0
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    /// The size only: the bytes would fill a screen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits)", self.length() * 8)
    }
}

/// Why bytes are not a public key that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the one encoding.
    #[error("not a SubjectPublicKeyInfo of the form that RFC 9578 section 6.5 gives")]
    Encoding,
    /// Even, or too short, or too long.
    #[error("the modulus must be odd and have 2048 to 4096 bits in whole bytes")]
    Size,
    /// Another exponent than 65,537.
    #[error("the public exponent must be 65537")]
    Exponent,
    /// The modulus is divisible by a small prime: not a sound RSA key, don't use it.
    #[error("the modulus has a small factor: the key is not a sound RSA key")]
    Unsound,
    /// Not a consistent private key.
    #[error("not a consistent private key")]
    Private,
    /// Out of memory, for instance.
    #[error("the cryptographic library failed")]
    Library,
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It isn't this key's signature of this message.
    #[error("the signature is not valid")]
    Invalid,
    /// Out of memory, for instance; says nothing about the signature.
    #[error("the cryptographic library failed")]
    Library,
}

/// `AlgorithmIdentifier` of id-RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt length 48; the
/// algorithm identifiers of the hashes without parameters (RFC 9578 section 6.5).
const ALGORITHM_DER: [u8; 63] = [
    0x30, 0x3d, // SEQUENCE: AlgorithmIdentifier
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, // id-RSASSA-PSS
    0x30, 0x30, // SEQUENCE: RSASSA-PSS-params
    0xa0, 0x0d, 0x30, 0x0b, // [0] hashAlgorithm
    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, // id-sha384
    0xa1, 0x1a, 0x30, 0x18, // [1] maskGenAlgorithm
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, // id-mgf1
    0x30, 0x0b, // its hash
    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, // id-sha384
    0xa2, 0x03, 0x02, 0x01, 0x30, // [2] saltLength: 48
];

/// `INTEGER` 65,537.
const EXPONENT_DER: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

/// The SubjectPublicKeyInfo of a modulus of 256 to 512 bytes whose top bit is set.
fn spki(modulus: &[u8]) -> Vec<u8> {
    // A leading zero byte keeps the INTEGER positive.
    let integer = element(0x02, &[&[0], modulus]);
    let key = element(0x30, &[&integer, &EXPONENT_DER]);
    let bits = element(0x03, &[&[0], &key]);
    element(0x30, &[&ALGORITHM_DER, &bits])
}

/// A DER element whose contents have 256 to 65,535 bytes, so that the length takes two.
fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let length: usize = contents.iter().map(|part| part.len()).sum();
    let [.., high, low] = length.to_be_bytes();
    let mut der = vec![tag, 0x82, high, low];
    contents.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// 32-bit digits of the longest modulus.
const DIGITS: usize = 128;

/// A product of consecutive odd primes below 4,096, itself below 2^32: its primes, and the powers of 2^32 modulo it.
struct PrimeProduct {
    product: u64,
    powers: Vec<u32>,
    primes: Vec<Prime>,
}

/// What tells multiples of an odd prime without a division: modulo 2^32, `n * inverse` is `n / prime` for multiples, which is at most
/// `most`, and above that for all others.
struct Prime {
    inverse: u32,
    most: u32,
}

impl Prime {
    fn new(prime: u32) -> Self {
        // Newton's iteration doubles the bits that are right; an odd number is its own inverse modulo 8.
        let step = |x: u32, _| x.wrapping_mul(2u32.wrapping_sub(prime.wrapping_mul(x)));
        Self { inverse: (0..4).fold(prime, step), most: u32::MAX / prime }
    }

    const fn divides(&self, number: u32) -> bool {
        number.wrapping_mul(self.inverse) <= self.most
    }
}

static PRIME_PRODUCTS: LazyLock<Vec<PrimeProduct>> = LazyLock::new(|| {
    let is_prime =
        |n: &u32| (3..).step_by(2).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    let mut products = vec![(1u32, Vec::new())];
    for prime in (3..4096).step_by(2).filter(is_prime) {
        match products.last_mut() {
            Some((product, primes)) if product.checked_mul(prime).is_some() => {
                *product *= prime;
                primes.push(Prime::new(prime));
            }
            _ => products.push((prime, vec![Prime::new(prime)])),
        }
    }
    let with_powers = |(product, primes)| {
        let product = u64::from(product);
        let next = |power: &u64| Some((power << 32) % product);
        let powers = std::iter::successors(Some(1 % product), next).take(DIGITS);
        PrimeProduct { product, powers: powers.map(|power| power as u32).collect(), primes }
    };
    products.into_iter().map(with_powers).collect()
});

/// Whether an odd number of 4,096 bits at most is divisible by a prime below 4,096.
fn has_small_factor(number: &[u8]) -> bool {
    // 32-bit digits, least significant first.
    let digits: Vec<u32> = number
        .rchunks(4)
        .map(|chunk| chunk.iter().fold(0, |digit, byte| (digit << 8) | u32::from(*byte)))
        .collect();
    PRIME_PRODUCTS.iter().any(|PrimeProduct { product, powers, primes }| {
        // The halves of each term are summed apart, so that no sum leaves 64 bits: there are 128 terms at most.
        let (low, high) = digits.iter().zip(powers).fold((0u64, 0u64), |(low, high), (a, b)| {
            let term = u64::from(*a) * u64::from(*b);
            (low + (term & 0xffff_ffff), high + (term >> 32))
        });
        let rest = (((high % product) << 32) + low % product) % product;
        primes.iter().any(|prime| prime.divides(rest as u32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AwsLcSigner, RawSigner};

    fn key() -> PublicKey {
        AwsLcSigner::generate(2048).unwrap().public_key().clone()
    }

    #[test]
    fn the_encoding_is_unique() {
        let key = key();
        let spki = key.spki();
        assert_eq!(spki.len(), SPKI_LENGTH);
        assert_eq!(PublicKey::from_spki(&spki).unwrap(), key);
        // Any change outside the modulus (bytes 81 to 336) is another encoding.
        for position in (0..81).chain(337..342) {
            let mut other = spki.clone();
            other[position] ^= 1;
            assert_eq!(PublicKey::from_spki(&other), Err(KeyError::Encoding), "byte {position}");
        }
        assert_eq!(PublicKey::from_spki(&spki[..341]), Err(KeyError::Encoding));
        assert_eq!(PublicKey::from_spki(&[&spki[..], &[0]].concat()), Err(KeyError::Encoding));
        assert_eq!(PublicKey::from_spki(&[]), Err(KeyError::Encoding));
        let larger = AwsLcSigner::generate(2176).unwrap().public_key().spki();
        assert_eq!(PublicKey::from_spki(&larger), Err(KeyError::Encoding));
    }

    #[test]
    fn unsound_moduli_are_refused() {
        let mut modulus = key().0.as_bytes().to_vec();
        let spki_of = |modulus: &[u8]| PublicKey::from_spki(&spki(modulus));
        assert!(spki_of(&modulus).is_ok());
        modulus[255] ^= 1;
        assert_eq!(spki_of(&modulus), Err(KeyError::Size), "even");
        modulus[255] ^= 1;
        modulus[0] &= 0x7f;
        assert_eq!(spki_of(&modulus), Err(KeyError::Size), "2047 bits");
        // 2^2047 + offset: divisible by this prime and by no other below 4,096.
        for (prime, offset) in
            [(3, 43u32), (5, 167), (257, 2_955), (4_079, 60_929), (4_093, 12_281)]
        {
            let mut modulus = [0; 256];
            modulus[0] = 0x80;
            modulus[252..].copy_from_slice(&offset.to_be_bytes());
            assert_eq!(PublicKey::from_modulus(&modulus), Err(KeyError::Unsound), "{prime}");
        }
    }

    #[test]
    fn every_prime_below_4096_is_found_and_nothing_else() {
        let remainder = |number: &[u8], by: u32| {
            number.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % by)
        };
        let primes: Vec<u32> = (2u32..4096)
            .filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
            .collect();
        let odd = primes.get(1..).unwrap();
        let mut found = [0; 2];
        for length in [256, 512] {
            let mut number = vec![0xff; length];
            for tail in (1..=u16::MAX).step_by(2).take(400) {
                number[length - 2..].copy_from_slice(&tail.to_be_bytes());
                let divided = odd.iter().any(|prime| remainder(&number, *prime) == 0);
                assert_eq!(has_small_factor(&number), divided, "{length} bytes, {tail}");
                found[usize::from(divided)] += 1;
            }
            // Each prime by itself, times a power of two: no other odd prime divides that.
            for prime in odd {
                let mut number = vec![0; length];
                number[..4].copy_from_slice(&prime.to_be_bytes());
                assert!(has_small_factor(&number), "{prime}");
            }
        }
        assert!(found.iter().all(|count| *count > 50), "{found:?}");
    }
}
