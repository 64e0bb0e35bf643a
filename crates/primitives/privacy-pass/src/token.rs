//! The token (RFC 9577 section 2.2, RFC 9578 section 6.4) and how it is verified.

use std::fmt;

use blind_rsa::{PublicKey, SALT_LENGTH, VerifyError};

use crate::codec::{DecodeError, Reader};
use crate::hash::{ChallengeDigest, KeyId, SpendHash, sha256};
use crate::{AUTHENTICATOR_LENGTH, TOKEN_TYPE};

/// The 32 bytes that make a token unique, chosen by its client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 32]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

impl Nonce {
    /// The nonce with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What an issuer signs without seeing it: a token but for its authenticator, 98 bytes.
///
/// ```text
/// u16  token_type = 0x0002
/// 32   nonce
/// 32   challenge_digest
/// 32   token_key_id
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenInput {
    nonce: Nonce,
    challenge_digest: ChallengeDigest,
    key_id: KeyId,
}

impl TokenInput {
    /// Length of the wire form in bytes.
    pub const LENGTH: usize = 98;

    /// The input made of these.
    #[must_use]
    pub const fn new(nonce: Nonce, challenge_digest: ChallengeDigest, key_id: KeyId) -> Self {
        Self { nonce, challenge_digest, key_id }
    }

    /// Reads the wire form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let input = Self::read(&mut reader)?;
        reader.end()?;
        Ok(input)
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [
            &TOKEN_TYPE.to_be_bytes()[..],
            self.nonce.as_bytes(),
            self.challenge_digest.as_bytes(),
            self.key_id.as_bytes(),
        ]
        .concat()
    }

    /// The client's nonce.
    #[must_use]
    pub const fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The challenge that is answered.
    #[must_use]
    pub const fn challenge_digest(&self) -> &ChallengeDigest {
        &self.challenge_digest
    }

    /// The key that is to sign.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.token_type()?;
        Ok(Self {
            nonce: Nonce(reader.array()?),
            challenge_digest: ChallengeDigest::from_bytes(reader.array()?),
            key_id: KeyId::from_bytes(reader.array()?),
        })
    }
}

/// A token: the 98 bytes of its [`TokenInput`], then 256 of authenticator. A bearer secret until it is
/// spent, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    input: TokenInput,
    authenticator: [u8; AUTHENTICATOR_LENGTH],
}

impl Token {
    /// Length of the wire form in bytes.
    pub const LENGTH: usize = TokenInput::LENGTH + AUTHENTICATOR_LENGTH;

    /// The token made of an input and its signature; nothing is verified.
    #[must_use]
    pub const fn new(input: TokenInput, authenticator: [u8; AUTHENTICATOR_LENGTH]) -> Self {
        Self { input, authenticator }
    }

    /// Reads the wire form: exactly 354 bytes, of token type 0x0002.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let input = TokenInput::read(&mut reader)?;
        let authenticator = reader.array()?;
        reader.end()?;
        Ok(Self { input, authenticator })
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.input.encode();
        bytes.extend_from_slice(&self.authenticator);
        bytes
    }

    /// The signature, 256 bytes.
    #[must_use]
    pub const fn authenticator(&self) -> &[u8; AUTHENTICATOR_LENGTH] {
        &self.authenticator
    }

    /// What marks this token as spent: SHA-256 of its 354 bytes.
    #[must_use]
    pub fn spend_hash(&self) -> SpendHash {
        SpendHash::from_bytes(sha256(&self.encode()))
    }

    /// The client's nonce.
    #[must_use]
    pub const fn nonce(&self) -> &Nonce {
        &self.input.nonce
    }

    /// The challenge that it answers.
    #[must_use]
    pub const fn challenge_digest(&self) -> &ChallengeDigest {
        &self.input.challenge_digest
    }

    /// The key that is said to have signed it.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.input.key_id
    }
}

/// Verifies that `token` answers this challenge and was signed with this key. Whether it was spent
/// before is the caller's to know. (The token type was checked when the token was decoded.)
pub fn verify_token(
    public_key: &PublicKey,
    challenge_digest: &ChallengeDigest,
    token: &Token,
) -> Result<(), TokenError> {
    if *token.key_id() != KeyId::of(public_key) {
        return Err(TokenError::Key);
    }
    if token.challenge_digest() != challenge_digest {
        return Err(TokenError::Challenge);
    }
    public_key.verify(&token.input.encode(), SALT_LENGTH, &token.authenticator).map_err(|error| {
        match error {
            VerifyError::Invalid => TokenError::Signature,
            VerifyError::Library => TokenError::Library,
        }
    })
}

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It names another key: of another epoch, purpose or issuer.
    #[error("the token is of another key")]
    Key,
    /// It answers another challenge.
    #[error("the token answers another challenge")]
    Challenge,
    /// It was not signed with the key that it names.
    #[error("the token's signature is not valid")]
    Signature,
    /// Out of memory, for instance; says nothing about the token.
    #[error("the cryptographic library failed")]
    Library,
}
