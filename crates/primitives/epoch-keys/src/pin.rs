//! What a client, a verifier or the enclave pins, and checks a key against before using it.

use blind_rsa::{KeyError, PublicKey};
use coarse::Epoch;
use privacy_pass::{ChallengeError, KeyId, TokenChallenge};
use serde::{Deserialize, Serialize};

use crate::proof::{LAST_POSITION, Proof, Root, leaf_hash, successor_hash};
use crate::tree::SuccessorKey;
use crate::{Purpose, challenge};

/// The commitment to all keys of a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreePin {
    /// The purpose of all its keys.
    pub purpose: Purpose,
    /// The epoch at position 0.
    pub first_epoch: Epoch,
    /// The tree's root.
    pub root: Root,
}

impl TreePin {
    /// Whether `spki` is the one key of this purpose for `epoch`, and a sound one. The path's directions
    /// come from the epoch alone, so there is one key per epoch at most. Whether the epoch is one to
    /// draw or spend in now, [`Purpose::may_sign`] and [`Purpose::spendable`] say.
    pub fn verify(
        &self,
        epoch: Epoch,
        spki: &[u8],
        proof: &Proof,
    ) -> Result<CommittedKey, PinError> {
        let position = epoch
            .number()
            .checked_sub(self.first_epoch.number())
            .and_then(|position| u16::try_from(position).ok())
            .filter(|position| *position != LAST_POSITION)
            .ok_or(PinError::Epoch)?;
        if proof.root(position, leaf_hash(self.purpose, epoch, spki)) != self.root {
            return Err(PinError::Proof);
        }
        let public_key = PublicKey::from_spki(spki)?;
        let key_id = KeyId::of(&public_key);
        Ok(CommittedKey { purpose: self.purpose, epoch, public_key, key_id })
    }

    /// Whether `key` is the one that may name the next tree.
    pub fn verify_successor(&self, key: &SuccessorKey, proof: &Proof) -> Result<(), PinError> {
        if proof.root(LAST_POSITION, successor_hash(self.purpose, key)) == self.root {
            Ok(())
        } else {
            Err(PinError::Proof)
        }
    }
}

/// A key that a pinned tree commits to. Only [`TreePin::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedKey {
    purpose: Purpose,
    epoch: Epoch,
    public_key: PublicKey,
    key_id: KeyId,
}

impl CommittedKey {
    /// What its tokens are good for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The epoch of its tokens.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The key's id.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The challenge that its tokens answer at `origin`.
    pub fn challenge(
        &self,
        issuer_name: &str,
        origin: &str,
    ) -> Result<TokenChallenge, ChallengeError> {
        challenge(issuer_name, origin, self.purpose, self.epoch)
    }
}

/// Why a key that somebody presented must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The tree has no place for this epoch.
    #[error("the epoch lies outside the pinned tree")]
    Epoch,
    /// The pinned root does not commit to this key for this purpose and epoch: somebody may be trying to
    /// mark you with a key of your own.
    #[error("the key is not the one that the pinned root commits to for this epoch")]
    Proof,
    /// It is committed to, and no sound key all the same.
    #[error("the committed key can't be used: {0}")]
    Key(#[from] KeyError),
}
