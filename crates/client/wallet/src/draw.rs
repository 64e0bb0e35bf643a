//! Drawing a token: from a seed to an unlinkable proof of a paid subscription.

use attested::Provider;
use coarse::{Secret, UnixTime};
use encoding::Base64Url;
use epoch_keys::{CommittedKey, PinError, PublishedKey, Purpose};
use jws::Compact;
use privacy_pass::{PendingError, PendingToken, Token, TokenRequest, TokenResponse, TokenSeed};
use rand_core::CryptoRng;
use receipt::IssuanceReceipt;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::held::{deserialize_secret, serialize_secret};

/// Why a token can't be drawn.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrawError {
    /// The provider's file pins no tree for this purpose.
    #[error("the provider's file names no tree of keys for this kind of token")]
    NoTree,
    /// The key isn't the committed one.
    #[error("the blind token service's key was refused: {0}")]
    Key(#[from] PinError),
    /// The key is for an epoch that isn't the present or the next one.
    #[error("the blind token service's key is for another time; is this machine's clock right?")]
    Epoch,
    /// The token couldn't be made, or the blind signature doesn't hold.
    #[error("the blind token service's answer was refused: {0}")]
    Answer(#[from] PendingError),
    /// The receipt of issuance isn't the service's, or not for this token.
    #[error("the receipt of issuance is not for this token; without it no address can be assigned")]
    Receipt,
    /// The provider's file contradicts itself.
    #[error("the provider's file cannot be used")]
    Provider,
}

/// A draw that was begun: the seed is on disk, the blinded message may have been sent. The same seed under
/// the same key always gives the same message, so that it may be sent again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawing {
    #[serde(serialize_with = "serialize_seed", deserialize_with = "deserialize_secret")]
    seed: Secret<32>,
    key: PublishedKey,
}

/// A request that was blinded, and what takes the blinding off its answer.
pub struct Blinded {
    pending: PendingToken,
}

impl Blinded {
    /// What to send.
    #[must_use]
    pub const fn request(&self) -> &TokenRequest {
        self.pending.request()
    }
}

/// A token, the seed it came from, and the receipt that says to whom it was given.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    #[serde(serialize_with = "serialize_seed", deserialize_with = "deserialize_secret")]
    seed: Secret<32>,
    key: PublishedKey,
    token: Base64Url,
    receipt: Compact,
}

impl Drawing {
    /// Begins a draw under `key`, after checking it: the Merkle proof against the pinned root, its epoch, its soundness.
    /// Nothing was blinded before.
    ///
    /// # Errors
    /// [`DrawError::NoTree`], [`DrawError::Key`] or [`DrawError::Epoch`].
    pub fn begin(
        key: PublishedKey,
        provider: &Provider,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, DrawError> {
        let committed = committed(&key, provider)?;
        let early = now.plus(epoch_keys::CLOCK_SKEW);
        if !committed.purpose().may_sign(committed.epoch(), now)
            && !committed.purpose().may_sign(committed.epoch(), early)
        {
            return Err(DrawError::Epoch);
        }
        Ok(Self { seed: Secret::random(rng), key })
    }

    /// The key that is drawn under.
    #[must_use]
    pub const fn key(&self) -> &PublishedKey {
        &self.key
    }

    /// What to send.
    ///
    /// # Errors
    /// As [`begin`](Self::begin), for a wallet whose provider's file was changed since.
    pub fn request(&self, provider: &Provider) -> Result<TokenRequest, DrawError> {
        Ok(self.blind(provider)?.request().clone())
    }

    /// Blinds: what to send, and what takes the answer to it.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub fn blind(&self, provider: &Provider) -> Result<Blinded, DrawError> {
        Ok(Blinded { pending: pending(&self.seed, &self.key, provider)? })
    }

    /// Takes the answer: unblinds it, verifies the signature, checks that the receipt is for this very blinded message.
    ///
    /// # Errors
    /// [`DrawError::Answer`] or [`DrawError::Receipt`]; the draw stays as it was and may be repeated.
    pub fn finish(
        &self,
        answer: &TokenResponse,
        receipt: Compact,
        provider: &Provider,
    ) -> Result<Drawn, DrawError> {
        self.finish_blinded(&self.blind(provider)?, answer, receipt, provider)
    }

    /// As [`finish`](Self::finish), with what [`blind`](Self::blind) gave.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_blinded(
        &self,
        Blinded { pending }: &Blinded,
        answer: &TokenResponse,
        receipt: Compact,
        provider: &Provider,
    ) -> Result<Drawn, DrawError> {
        let token = pending.finalize(answer)?;
        let keys = provider.issuance_keys().map_err(|_| DrawError::Provider)?;
        let claims =
            IssuanceReceipt::verify(receipt.as_str(), &keys).map_err(|_| DrawError::Receipt)?;
        let blinded = blinded_hash(pending.request());
        if claims.key != *token.key_id() || claims.blinded_hash != blinded {
            return Err(DrawError::Receipt);
        }
        Ok(Drawn {
            seed: self.seed.clone(),
            key: self.key.clone(),
            token: Base64Url(token.encode().to_vec()),
            receipt,
        })
    }
}

impl Drawn {
    /// The token.
    ///
    /// # Errors
    /// [`DrawError::Answer`] for a wallet that was tampered with.
    pub fn token(&self) -> Result<Token, DrawError> {
        Token::decode(self.token.as_ref()).map_err(|_| DrawError::Answer(PendingError::Answer))
    }

    /// The seed, for the enclave.
    #[must_use]
    pub const fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// The key, for the enclave.
    #[must_use]
    pub const fn key(&self) -> &PublishedKey {
        &self.key
    }

    /// The draw that led here, to be sent once more: the same request gets the same answer, with a receipt that is signed by the
    /// service's present key.
    #[must_use]
    pub fn drawing(&self) -> Drawing {
        Drawing { seed: self.seed.clone(), key: self.key.clone() }
    }

    /// The receipt of issuance, for the enclave.
    #[must_use]
    pub const fn receipt(&self) -> &Compact {
        &self.receipt
    }
}

/// SHA-256 of the blinded message: what a receipt of issuance names.
fn blinded_hash(request: &TokenRequest) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, request.blinded_message());
    hash.copy_from_slice(digest.as_ref());
    hash
}

fn committed(key: &PublishedKey, provider: &Provider) -> Result<CommittedKey, DrawError> {
    let tree = provider.tree(Purpose::DedicatedIp).ok_or(DrawError::NoTree)?;
    Ok(key.verify(tree)?)
}

fn pending(
    seed: &Secret<32>,
    key: &PublishedKey,
    provider: &Provider,
) -> Result<PendingToken, DrawError> {
    let committed = committed(key, provider)?;
    let challenge = committed
        .challenge(&provider.issuer_name, &provider.origin)
        .map_err(|_| DrawError::Provider)?;
    let seed = Zeroizing::new(*seed.expose());
    let seed = TokenSeed::from_bytes(*seed);
    Ok(PendingToken::new(committed.public_key(), &challenge.digest(), &seed)?)
}

fn serialize_seed<S: serde::Serializer>(seed: &Secret<32>, to: S) -> Result<S::Ok, S::Error> {
    serialize_secret(seed.expose(), to)
}
