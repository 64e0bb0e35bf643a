//! HPKE envelopes of one size, and answers keyed to them.
//!
//! A request is sealed with HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. It
//! is padded to a size that its type fixes, so that its length tells a relay nothing. The answer is
//! encrypted under a key that both ends export from the same context, in the manner of RFC 9458 section
//! 4.4, and padded likewise.
//!
//! ```text
//! sealed request = recipient's public key (32) || enc (32) || AES-256-GCM(pad(plaintext, size)) (size + 16)
//! sealed answer  = response nonce (32) || AES-256-GCM(pad(plaintext, size)) (size + 16)
//! pad(p, size)   = len(p) as u16 big-endian || p || zeros, `size` bytes in all
//! ```
//!
//! The recipient's key stands in front so that a recipient that has a new one can say so.
//!
//! Base mode names no sender. A sender that speaks of an X25519 key of theirs proves inside the request that they
//! hold it: a [`KeyProof`].

mod answer;
mod hkdf;
mod padding;
mod possession;
mod request;

pub use answer::{AnswerKey, AnswerSealer};
pub use possession::{KeyProof, ProofCheck};
pub use request::{Opened, OpeningKey, Sealer, SealingKey, recipient, seal};

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;

type Kem = X25519HkdfSha256;
type Kdf = HkdfSha256;
type Aead = AesGcm256;

/// Why an envelope couldn't be made or opened.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The plaintext is longer than the envelope's size allows: the sender erred.
    #[error("the message is too long for its envelope")]
    TooLong,
    /// The recipient's public key is no usable X25519 key.
    #[error("the recipient's key is not a usable X25519 key")]
    RecipientKey,
    /// Sealed to another key than this recipient's: fetch the present one and seal again.
    #[error("the envelope is sealed to another key")]
    OtherKey,
    /// Not an envelope of this type and size, spoilt, or bound to something else.
    #[error("the envelope does not open")]
    Unopenable,
}
