//! RSA blind signatures (RFC 9474): a signer signs what it can't see.
//!
//! Whoever wants a signature encodes a message with PSS, multiplies it by `r^e` and sends the product
//! ([`blind`]). The signer raises it to its private exponent ([`RawSigner`]). Dividing by `r` leaves an
//! ordinary RSASSA-PSS signature ([`finalize`]), which anybody verifies ([`PublicKey::verify`]) and
//! which the signer can't tell from any other that it made under the same key.
//!
//! Hash and mask are SHA-384, the public exponent is 65,537, and the salt has 48 bytes or none: the
//! four variants of RFC 9474 section 5. The deterministic variants sign the message itself; the
//! randomized ones sign what [`prepare_randomized`] returns. With 2048 bits, a 48-byte salt and the
//! deterministic variant this is token type 0x0002 of RFC 9578.
//!
//! Nothing here draws randomness: salts and blinding factors come from the caller.

mod blinding;
mod pss;
mod public_key;
mod signer;

pub use blinding::{
    BlindError, BlindedMessage, BlindingFactor, FinalizeError, Signature, Unblinder, blind,
    blind_again, finalize, prepare_randomized,
};
pub use public_key::{KeyError, PublicKey, SPKI_LENGTH, VerifyError};
pub use signer::{AwsLcSigner, RawSigner, SignError, sign_checked};

/// Length of the salt of the PSS variants, in bytes. The PSSZERO variants have none.
pub const SALT_LENGTH: usize = 48;
