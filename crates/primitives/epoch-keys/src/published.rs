//! An epoch's key as its issuer publishes it: to clients one at a time, to verifiers in bulk.

use coarse::Epoch;
use encoding::Base64Url;
use serde::{Deserialize, Serialize};

use crate::{CommittedKey, PinError, Proof, Purpose, TreePin};

/// A key and its place in its purpose's tree. Nothing in it is to be believed before [`verify`](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedKey {
    /// What tokens under this key are good for.
    pub purpose: Purpose,
    /// In which epoch they are drawn.
    pub epoch: Epoch,
    /// The key as SPKI (342 bytes, RFC 9578 section 6.5).
    pub public_key: Base64Url,
    /// The Merkle proof, from the leaf's sibling upwards.
    pub proof: Proof,
}

impl PublishedKey {
    /// Checks the key against the pinned tree.
    ///
    /// # Errors
    /// As [`TreePin::verify`]; [`PinError::Proof`] also when the tree is another purpose's.
    pub fn verify(&self, pin: &TreePin) -> Result<CommittedKey, PinError> {
        if pin.purpose != self.purpose {
            return Err(PinError::Proof);
        }
        pin.verify(self.epoch, self.public_key.as_ref(), &self.proof)
    }
}

/// Keys that were taken in from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The keys of the pin's purpose, each verified, in the file's order.
    pub keys: Vec<PublishedKey>,
    /// How many of other purposes were passed over.
    pub others: usize,
}

/// Why a file of keys isn't taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not a JSON array of keys.
    #[error("this is not what an issuer publishes")]
    Form(#[source] serde_json::Error),
    /// The tree doesn't commit to a key, or it isn't sound. The whole file is refused.
    #[error("the key of epoch {0} is refused")]
    Key(Epoch, #[source] PinError),
}

impl Imported {
    /// Reads what an issuer publishes for verifiers: a JSON array of keys with their proofs.
    ///
    /// # Errors
    /// [`ImportError`] for the first key of the pin's purpose that doesn't hold.
    pub fn from_json(file: &[u8], pin: &TreePin) -> Result<Self, ImportError> {
        Self::sift(serde_json::from_slice(file).map_err(ImportError::Form)?, pin)
    }

    /// Takes the keys of the pin's purpose from what an issuer publishes.
    ///
    /// # Errors
    /// [`ImportError::Key`] for the first of them that doesn't hold.
    pub fn sift(mut keys: Vec<PublishedKey>, pin: &TreePin) -> Result<Self, ImportError> {
        let all = keys.len();
        keys.retain(|key| key.purpose == pin.purpose);
        for key in &keys {
            key.verify(pin).map_err(|error| ImportError::Key(key.epoch, error))?;
        }
        Ok(Self { others: all - keys.len(), keys })
    }
}
