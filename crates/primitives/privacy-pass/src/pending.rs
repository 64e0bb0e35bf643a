//! A token that is asked for and not there yet: the client's side of issuance (RFC 9578 section 6).

use blind_rsa::{
    BlindError, BlindingFactor, FinalizeError, PublicKey, SALT_LENGTH, Unblinder, blind,
    blind_again, finalize,
};
use coarse::Secret;
use zeroize::Zeroizing;

use crate::hash::{ChallengeDigest, KeyId};
use crate::issuance::{TokenRequest, TokenResponse};
use crate::token::{Nonce, Token, TokenInput};

/// 32 secret bytes from which all that a token's client chooses is derived. Kept by the client until
/// the token is spent; wiped on drop; used for nothing else.
///
/// For each of nonce, salt and blinding factor: BLAKE3 in its `derive_key` mode, with a context string
/// of its own, over `seed (32) || token_key_id (32) || challenge_digest (32)`, read as an extendable
/// output. The nonce is the first 32 bytes of its output, the salt the first 48. The blinding factor is
/// the first 256-byte block of its output that, as a big-endian number, lies between 1 and N - 1.
#[derive(Clone)]
pub struct TokenSeed(Secret<32>);

const NONCE_CONTEXT: &str = "cloakroom 2026-11 privacy-pass token nonce v1";
const SALT_CONTEXT: &str = "cloakroom 2026-11 privacy-pass token salt v1";
const BLIND_CONTEXT: &str = "cloakroom 2026-11 privacy-pass token blinding factor v1";

impl TokenSeed {
    /// The seed with these bytes, as the client stored them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// A fresh seed.
    #[must_use]
    pub fn random(rng: &mut impl rand_core::CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// The bytes, to be stored (before a request is sent) or sealed.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn output(
        &self,
        context: &str,
        key_id: &KeyId,
        digest: &ChallengeDigest,
    ) -> Zeroizing<blake3::OutputReader> {
        let mut hasher = Zeroizing::new(blake3::Hasher::new_derive_key(context));
        hasher.update(self.0.expose()).update(key_id.as_bytes()).update(digest.as_bytes());
        Zeroizing::new(hasher.finalize_xof())
    }
}

/// What comes from a seed: nonce, salt and blinding factor, for one key and challenge.
struct Choices {
    input: TokenInput,
    salt: Zeroizing<[u8; SALT_LENGTH]>,
    factor: BlindingFactor,
}

impl Choices {
    fn of(
        public_key: &PublicKey,
        challenge_digest: &ChallengeDigest,
        seed: &TokenSeed,
    ) -> Result<Self, PendingError> {
        let key_id = KeyId::of(public_key);
        let output = |context| seed.output(context, &key_id, challenge_digest);
        let mut nonce = [0; 32];
        output(NONCE_CONTEXT).fill(&mut nonce);
        let mut salt = Zeroizing::new([0; SALT_LENGTH]);
        output(SALT_CONTEXT).fill(&mut *salt);
        let mut stream = output(BLIND_CONTEXT);
        let factor = BlindingFactor::sample(public_key, |bytes| stream.fill(bytes))?;
        let input = TokenInput::new(Nonce::from_bytes(nonce), *challenge_digest, key_id);
        Ok(Self { input, salt, factor })
    }
}

/// What a seed leads to, for whoever is shown the seed and checks that request and token came from it.
pub struct TokenTrace {
    key: PublicKey,
    input: TokenInput,
    salt: Zeroizing<[u8; SALT_LENGTH]>,
    request: TokenRequest,
}

impl TokenTrace {
    /// The request and the token that come from this seed, for this 2048-bit key and challenge: the same as
    /// [`PendingToken::new`]'s, for less work.
    pub fn new(
        public_key: &PublicKey,
        challenge_digest: &ChallengeDigest,
        seed: &TokenSeed,
    ) -> Result<Self, PendingError> {
        let Choices { input, salt, factor } = Choices::of(public_key, challenge_digest, seed)?;
        let message = blind_again(public_key, &input.encode(), &*salt, &factor)?;
        let message = message.as_bytes().try_into().map_err(|_| PendingError::KeySize)?;
        let request = TokenRequest::new(input.key_id().truncated(), message);
        Ok(Self { key: public_key.clone(), input, salt, request })
    }

    /// What was sent to the issuer.
    #[must_use]
    pub const fn request(&self) -> &TokenRequest {
        &self.request
    }

    /// The token's nonce.
    #[must_use]
    pub const fn nonce(&self) -> &Nonce {
        self.input.nonce()
    }

    /// Whether `token` is the one that this request leads to: same nonce, challenge and key, and a signature that opens to the
    /// encoding with this salt. The nonce alone doesn't say so: ten requests could carry one nonce and ten salts, and give
    /// ten tokens that all look like this one's.
    #[must_use]
    pub fn leads_to(&self, token: &Token) -> bool {
        let input = self.input.encode();
        *token.nonce() == *self.input.nonce()
            && *token.challenge_digest() == *self.input.challenge_digest()
            && *token.key_id() == *self.input.key_id()
            && self.key.verify_with_salt(&input, &*self.salt, token.authenticator()).is_ok()
    }
}

/// A token between request and response.
pub struct PendingToken {
    trace: TokenTrace,
    unblinder: Unblinder,
}

impl PendingToken {
    /// The token that comes from this seed, for this 2048-bit key and challenge. The same arguments
    /// give the same request: a client that lost an answer asks again.
    pub fn new(
        public_key: &PublicKey,
        challenge_digest: &ChallengeDigest,
        seed: &TokenSeed,
    ) -> Result<Self, PendingError> {
        let Choices { input, salt, factor } = Choices::of(public_key, challenge_digest, seed)?;
        Self::blinded(public_key, input, &salt, &factor)
    }

    /// The token made of a nonce, a salt and a blinding factor that the caller chose; for test vectors
    /// and interoperation. Clients use [`Self::new`].
    pub fn from_parts(
        public_key: &PublicKey,
        challenge_digest: &ChallengeDigest,
        nonce: Nonce,
        salt: &[u8; SALT_LENGTH],
        factor: &BlindingFactor,
    ) -> Result<Self, PendingError> {
        let input = TokenInput::new(nonce, *challenge_digest, KeyId::of(public_key));
        Self::blinded(public_key, input, salt, factor)
    }

    /// What to send to the issuer.
    #[must_use]
    pub const fn request(&self) -> &TokenRequest {
        self.trace.request()
    }

    /// The nonce that the token will have.
    #[must_use]
    pub const fn nonce(&self) -> &Nonce {
        self.trace.nonce()
    }

    /// As [`TokenTrace::leads_to`].
    #[must_use]
    pub fn leads_to(&self, token: &Token) -> bool {
        self.trace.leads_to(token)
    }

    /// Makes the token out of the issuer's answer, and verifies it. The pending token stays: after a
    /// bad answer the same request may be sent again.
    pub fn finalize(&self, response: &TokenResponse) -> Result<Token, PendingError> {
        let signature = finalize(
            &self.trace.key,
            &self.trace.input.encode(),
            SALT_LENGTH,
            response.blind_signature(),
            &self.unblinder,
        )
        .map_err(|error| match error {
            FinalizeError::Answer => PendingError::Answer,
            FinalizeError::Library => PendingError::Library,
        })?;
        let authenticator = signature.as_bytes().try_into().map_err(|_| PendingError::KeySize)?;
        Ok(Token::new(self.trace.input, authenticator))
    }

    fn blinded(
        key: &PublicKey,
        input: TokenInput,
        salt: &[u8; SALT_LENGTH],
        factor: &BlindingFactor,
    ) -> Result<Self, PendingError> {
        let (message, unblinder) = blind(key, &input.encode(), salt, factor)?;
        let message = message.as_bytes().try_into().map_err(|_| PendingError::KeySize)?;
        let request = TokenRequest::new(input.key_id().truncated(), message);
        let salt = Zeroizing::new(*salt);
        Ok(Self { trace: TokenTrace { key: key.clone(), input, salt, request }, unblinder })
    }
}

/// Why there is no request, or no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PendingError {
    /// The issuer's key can't be used for blinding.
    #[error("the issuer's key can't be used: {0}")]
    Blind(#[from] BlindError),
    /// The issuer's key has more than 2048 bits.
    #[error("token type 0x0002 is for keys of 2048 bits")]
    KeySize,
    /// The issuer's answer is not a signature of the request. Send the same request again.
    #[error("the issuer's answer is not a signature of the request")]
    Answer,
    /// Out of memory, for instance.
    #[error("the cryptographic library failed")]
    Library,
}
