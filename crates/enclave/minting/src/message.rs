//! What is inside the sealed envelopes: JSON objects, padded by `seal`.

use coarse::{Hour, Secret};
use encoding::Base64Url;
use epoch_keys::PublishedKey;
use jws::Compact;
use lease::{ExitAddress, LeaseId, Notice, Region};
use peer_key::{PeerKey, PeerSecret};
use privacy_pass::{SpendHash, Token};
use rand_core::CryptoRng;
use seal::{AnswerKey, KeyProof, Sealer, SealingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wire::envelope;
use zeroize::Zeroizing;

/// The content of a sealed assignment request.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignRequest {
    /// The subscription receipt token.
    pub srt: Compact,
    /// The receipt of issuance that came with the blind signature.
    pub receipt: Compact,
    /// The seed that token and blinding were derived from.
    #[serde(with = "seed_text")]
    pub seed: Secret<32>,
    /// The token (354 bytes).
    #[serde(with = "token_text")]
    pub token: Token,
    /// The token's key, and its place in the tree.
    pub key: PublishedKey,
    /// The device that the access token is to name.
    pub device: PeerKey,
    /// That the sender holds its private key; nothing when what stands there is no proof. [`seal`](Self::seal) makes it.
    #[serde(default, with = "proof_text", skip_serializing_if = "Option::is_none")]
    pub device_proof: Option<KeyProof>,
}

/// The content of a sealed refresh request.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// A subscription receipt token that is still good.
    pub srt: Compact,
    /// The lease's refresh token.
    pub drt: Compact,
    /// The device that the access token is to name.
    pub device: PeerKey,
    /// That the sender holds its private key; nothing when what stands there is no proof. [`seal`](Self::seal) makes it.
    #[serde(default, with = "proof_text", skip_serializing_if = "Option::is_none")]
    pub device_proof: Option<KeyProof>,
    /// Whether the lease is given back rather than renewed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub give_back: bool,
}

/// The content of a sealed answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// Tokens were minted.
    Granted(Minted),
    /// No tokens, and why.
    Refused(Refusal),
    /// No tokens, because the lease is frozen: what its provider says.
    Frozen(Notice),
    /// The lease was given back: it isn't renewed any more.
    GivenBack,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Minted {
    /// The lease, for its later refreshes.
    pub lease: LeaseId,
    /// The dedicated address.
    pub ip: ExitAddress,
    /// Its region.
    pub region: Region,
    /// Opens the tunnel.
    pub dat: Compact,
    /// When the access token ends.
    pub dat_ends: Hour,
    /// Renews both.
    pub drt: Compact,
    /// When the refresh token ends.
    pub drt_ends: Hour,
    /// What the provider has to say to the lease's holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
}

/// Why no tokens were minted. Only the asking client reads this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// The content isn't a request of its kind.
    #[error("the request's content is malformed")]
    Malformed,
    /// The sender doesn't prove to hold the device's private key.
    #[error("the request does not prove that its sender holds the device's key")]
    Device,
    /// The SRT isn't good.
    #[error("the subscription receipt is not valid here; get a new one")]
    Srt,
    /// The SRT has expired.
    #[error("the subscription receipt has expired; get a new one")]
    SrtExpired,
    /// The subscription doesn't cover a dedicated IP.
    #[error("the subscription does not cover a dedicated IP")]
    NotEntitled,
    /// The receipt of issuance isn't good.
    #[error("the receipt of issuance is not valid")]
    Receipt,
    /// The token was drawn by another subscription, or by a former version of this one.
    #[error("the token was not drawn by this subscription in its present version")]
    OtherSubscription,
    /// The key isn't the one that the tree commits to.
    #[error("the token's key is not the epoch's committed key")]
    Key,
    /// The token isn't the one that the seed leads to, or the blinded message not the one that was signed.
    #[error("the token was not made from the blinded message that was signed")]
    Seed,
    /// The token isn't good, or isn't the one that was presented.
    #[error("the token is not valid, or not the one that was presented")]
    Token,
    /// The refresh token isn't good.
    #[error("the refresh token is not valid")]
    Drt,
    /// The refresh token has expired: the lease is lost.
    #[error("the refresh token has expired; ask support for a reset")]
    DrtExpired,
    /// The refresh token is of a former version: the subscription was reset.
    #[error("the subscription was reset since; assign a new address")]
    Reset,
    /// The refresh token is for another lease or address.
    #[error("the refresh token belongs to another lease")]
    OtherLease,
}

impl AssignRequest {
    /// Seals the request to an enclave, bound to the token that will be presented with it, with the proof that the sender
    /// holds `device`, the private half of the key that it names. The second value opens the answer.
    ///
    /// # Errors
    /// [`seal::Error::TooLong`] or [`seal::Error::RecipientKey`].
    pub fn seal(
        &self,
        device: &PeerSecret,
        token: &SpendHash,
        to: &SealingKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, AnswerKey), seal::Error> {
        let sealer = Sealer::new(to, envelope::ASSIGN, token.as_bytes(), rng)?;
        let proven = Self { device_proof: Some(sealer.prove(device)?), ..self.clone() };
        sealer.seal(&proven.encode().ok_or(seal::Error::TooLong)?, envelope::ASSIGN_SIZE)
    }
}

impl RefreshRequest {
    /// Seals the request to an enclave, bound to the lease, with the proof that the sender holds `device`, the private
    /// half of the key that it names. The second value opens the answer.
    ///
    /// # Errors
    /// [`seal::Error::TooLong`] or [`seal::Error::RecipientKey`].
    pub fn seal(
        &self,
        device: &PeerSecret,
        lease: LeaseId,
        to: &SealingKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, AnswerKey), seal::Error> {
        let sealer = Sealer::new(to, envelope::REFRESH, lease.bytes(), rng)?;
        let proven = Self { device_proof: Some(sealer.prove(device)?), ..self.clone() };
        sealer.seal(&proven.encode().ok_or(seal::Error::TooLong)?, envelope::REFRESH_SIZE)
    }
}

/// JSON bytes of a message, wiped after use. Of full size at once: a vector that grows leaves copies behind.
fn encode<T: Serialize>(message: &T) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(envelope::ASSIGN_SIZE));
    serde_json::to_writer(&mut *bytes, message).ok()?;
    Some(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

macro_rules! sealed_codec {
    ($message:ty) => {
        impl $message {
            /// The bytes to seal; nothing when the value can't be written, which no value made here is.
            #[must_use]
            pub fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
                encode(self)
            }

            /// From opened bytes.
            #[must_use]
            pub fn decode(bytes: &[u8]) -> Option<Self> {
                decode(bytes)
            }
        }
    };
}

sealed_codec!(AssignRequest);
sealed_codec!(RefreshRequest);
sealed_codec!(Answer);

mod token_text {
    //! A token as base64url in JSON.

    use privacy_pass::Token;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    use super::Base64Url;

    pub(super) fn serialize<S: Serializer>(
        token: &Token,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Base64Url(token.encode().to_vec()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Token, D::Error> {
        Token::decode(Base64Url::deserialize(from)?.as_ref()).map_err(D::Error::custom)
    }
}

mod seed_text {
    //! A seed as hexadecimal in JSON.

    use coarse::Secret;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        seed: &Secret<32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(seed.expose())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret<32>, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.as_bytes(), &mut *bytes).map_err(D::Error::custom)?;
        Ok(Secret::new(*bytes))
    }
}

mod proof_text {
    //! A proof as base64url in JSON. Anything else there is no proof, which has a reason for refusal of its own.

    use seal::KeyProof;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    use super::Base64Url;

    pub(super) fn serialize<S: Serializer>(
        proof: &Option<KeyProof>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        proof.as_ref().map(|proof| Base64Url(proof.bytes().to_vec())).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<KeyProof>, D::Error> {
        let value = Value::deserialize(from)?;
        let bytes = value.as_str().and_then(Base64Url::from_text);
        Ok(bytes.and_then(|bytes| bytes.0.try_into().ok()).map(KeyProof::from_bytes))
    }
}
