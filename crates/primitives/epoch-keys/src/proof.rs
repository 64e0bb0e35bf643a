//! Roots and proofs, and how hashes are combined.
//!
//! All hashes are BLAKE3 in its `derive_key` mode, each kind under a context string of its own, so that
//! none can pass for another:
//!
//! ```text
//! leaf       "cloakroom 2026-11 epoch-keys leaf v1"
//!            u8 length of the purpose's name || name || u32 epoch, big-endian || SPKI (342 bytes)
//! empty      "cloakroom 2026-11 epoch-keys empty v1"
//!            nothing
//! successor  "cloakroom 2026-11 epoch-keys successor v1"
//!            u8 length of the purpose's name || name || the key (32 bytes)
//! node       "cloakroom 2026-11 epoch-keys node v1"
//!            left (32 bytes) || right (32 bytes)
//! ```
//!
//! A tree has 2^16 leaves and 16 levels of nodes above them. The leaf at position p, from 0 to 65,534, is
//! that of epoch `first_epoch + p`, or empty. The one at position 65,535 is empty or a successor.
//! A proof is the path's 16 siblings, the leaf's first. Bit i of the position (the lowest is bit 0) says
//! on which side the path comes up at level i: 0 from the left, 1 from the right.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coarse::Epoch;
use serde::{Deserialize, Serialize};

use crate::Purpose;
use crate::tree::SuccessorKey;

/// Levels of nodes above the leaves.
pub(crate) const LEVELS: usize = 16;

/// The position that never holds an epoch.
pub(crate) const LAST_POSITION: u16 = u16::MAX;

/// A hash in a tree.
pub(crate) type Hash = [u8; 32];

pub(crate) fn leaf_hash(purpose: Purpose, epoch: Epoch, spki: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("cloakroom 2026-11 epoch-keys leaf v1");
    update_purpose(&mut hasher, purpose);
    hasher.update(&epoch.number().to_be_bytes()).update(spki);
    hasher.finalize().into()
}

pub(crate) fn empty_hash() -> Hash {
    blake3::derive_key("cloakroom 2026-11 epoch-keys empty v1", &[])
}

pub(crate) fn successor_hash(purpose: Purpose, key: &SuccessorKey) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("cloakroom 2026-11 epoch-keys successor v1");
    update_purpose(&mut hasher, purpose);
    hasher.update(key.as_bytes());
    hasher.finalize().into()
}

pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("cloakroom 2026-11 epoch-keys node v1");
    hasher.update(left).update(right);
    hasher.finalize().into()
}

fn update_purpose(hasher: &mut blake3::Hasher, purpose: Purpose) {
    let name = purpose.as_str().as_bytes();
    // Every name is far shorter than 256 bytes.
    hasher.update(&[name.len() as u8]).update(name);
}

/// The root of a commitment tree: what clients pin. Lower-case hex in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Root(pub(crate) Hash);

impl Root {
    /// The root with these bytes.
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

/// A text is not a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a root is 64 hex digits")]
pub struct RootError;

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({self})")
    }
}

impl FromStr for Root {
    type Err = RootError;

    fn from_str(text: &str) -> Result<Self, RootError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| RootError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Root {
    type Error = RootError;

    fn try_from(text: String) -> Result<Self, RootError> {
        text.parse()
    }
}

impl From<Root> for String {
    fn from(root: Root) -> Self {
        root.to_string()
    }
}

/// The 16 siblings on the way from a leaf to the root: 512 bytes. base64url without padding in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Proof([Hash; LEVELS]);

impl Proof {
    /// Length in bytes.
    pub const LENGTH: usize = LEVELS * 32;

    pub(crate) const fn new(siblings: [Hash; LEVELS]) -> Self {
        Self(siblings)
    }

    /// Reads exactly 512 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        let (siblings, []) = bytes.as_chunks::<32>() else {
            return Err(ProofError);
        };
        siblings.try_into().map(Self).map_err(|_| ProofError)
    }

    /// The 512 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// The root that this path leads to from `leaf` at `position`.
    pub(crate) fn root(&self, position: u16, leaf: Hash) -> Root {
        let climb = |below: Hash, (level, sibling): (usize, &Hash)| {
            if position >> level & 1 == 0 {
                node_hash(&below, sibling)
            } else {
                node_hash(sibling, &below)
            }
        };
        Root(self.0.iter().enumerate().fold(leaf, climb))
    }
}

/// Bytes are not a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a proof has exactly 512 bytes")]
pub struct ProofError;

impl TryFrom<String> for Proof {
    type Error = ProofError;

    fn try_from(text: String) -> Result<Self, ProofError> {
        Self::from_bytes(&URL_SAFE_NO_PAD.decode(text).map_err(|_| ProofError)?)
    }
}

impl From<Proof> for String {
    fn from(proof: Proof) -> Self {
        URL_SAFE_NO_PAD.encode(proof.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_over_the_documented_bytes() {
        let derive = |kind: &str, input: &[u8]| {
            blake3::derive_key(&format!("cloakroom 2026-11 epoch-keys {kind} v1"), input)
        };
        let leaf = [b"\x0cdedicated-ip\x00\x00\x0b\x98".as_slice(), &[5; 342]].concat();
        let epoch = Epoch::new(2_968);
        assert_eq!(leaf_hash(Purpose::DedicatedIp, epoch, &[5; 342]), derive("leaf", &leaf));
        assert_eq!(empty_hash(), derive("empty", b""));
        let successor = [b"\x07renewal".as_slice(), &[6; 32]].concat();
        assert_eq!(
            successor_hash(Purpose::Renewal, &SuccessorKey::from_bytes([6; 32])),
            derive("successor", &successor)
        );
        let node = [[1; 32], [2; 32]].concat();
        assert_eq!(node_hash(&[1; 32], &[2; 32]), derive("node", &node));
    }
}
