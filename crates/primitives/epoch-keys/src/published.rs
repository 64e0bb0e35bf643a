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
