//! RSA and modular arithmetic as aws-lc does them, made safe to call.
//!
//! This is the one crate with `unsafe` in it. It offers two things that no safe binding has: the RSA
//! private operation without any padding ([`PrivateKey`]), which a blind signer needs because it must
//! not see what it signs (RFC 9474 section 4.3), and arithmetic modulo an RSA modulus ([`Modulus`]),
//! which whoever blinds needs. Neither is a signature scheme; crate `blind-rsa` makes one of them.
//!
//! Numbers are unsigned, big-endian and exactly as long as the modulus; every one that comes in is
//! checked to be below it. Whatever C allocates for a number is wiped when it is freed.
//!
//! One thing isn't aws-lc's: the inversion of numbers that a random factor hides (`inverse`), which takes a fraction of the time
//! here. Every result of it is checked.

mod inverse;
mod modulus;
mod number;
mod private_key;

pub use modulus::Modulus;
pub use private_key::PrivateKey;

/// Bit lengths that a modulus may have.
pub const MODULUS_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

/// Why a computation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The caller's number has another length than the modulus.
    #[error("the number must be exactly as long as the modulus")]
    Length,
    /// The caller's number is not below the modulus, or is one that the operation leaves as it is.
    #[error("the number is out of range for the modulus")]
    OutOfRange,
    /// The modulus is even, padded with zeros, or of a length outside [`MODULUS_BITS`].
    #[error("the modulus must be odd, have 2048 to 4096 bits and no leading zero byte")]
    Modulus,
    /// The number shares a factor with the modulus. With a sound RSA modulus nobody ever sees this.
    #[error("the number has no inverse: the modulus is not a sound RSA modulus")]
    NotInvertible,
    /// The bytes are not a consistent RSA private key with its primes.
    #[error("not a consistent RSA private key of 2048 to 4096 bits")]
    Key,
    /// aws-lc failed inside: out of memory, or its own check of a result did not hold.
    #[error("the cryptographic library failed")]
    Library,
}
