//! The generator's side: the tree over all keys of a purpose. See [`crate::proof`] for the exact bytes.

use std::collections::BTreeMap;

use blind_rsa::SPKI_LENGTH;
use coarse::Epoch;

use crate::Purpose;
use crate::proof::{
    Hash, LAST_POSITION, LEVELS, Proof, Root, empty_hash, leaf_hash, node_hash, successor_hash,
};

/// An Ed25519 public key that may name the tree after this one, once this one's epochs run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessorKey([u8; 32]);

impl SuccessorKey {
    /// The key with these bytes.
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

/// The Merkle tree over the keys of one purpose: 16 levels always, however few keys there are. Only
/// what isn't empty takes memory, 64 bytes or so per node.
pub struct CommitmentTree {
    first_epoch: Epoch,
    /// How many epochs have a key.
    keys: u16,
    /// Nodes that have something below them, per level; level 0 are the leaves.
    levels: Vec<BTreeMap<u16, Hash>>,
    /// What all other nodes of a level are.
    empty: Vec<Hash>,
    root: Root,
}

impl CommitmentTree {
    /// Commits to one key for each epoch from `first_epoch` on, in their order: at most 65,535 keys, each
    /// an SPKI of 342 bytes. (Whether a key is sound is for whoever made it to know, and for
    /// [`crate::TreePin::verify`] to check.)
    pub fn build(
        purpose: Purpose,
        first_epoch: Epoch,
        spkis: &[impl AsRef<[u8]>],
    ) -> Result<Self, TreeError> {
        Self::with_successor(purpose, first_epoch, spkis, None)
    }

    /// As [`Self::build`], and commits to the key that may name the next tree.
    pub fn with_successor(
        purpose: Purpose,
        first_epoch: Epoch,
        spkis: &[impl AsRef<[u8]>],
        successor: Option<&SuccessorKey>,
    ) -> Result<Self, TreeError> {
        let keys = u16::try_from(spkis.len()).map_err(|_| TreeError::TooManyKeys)?;
        if first_epoch.number().checked_add(keys.into()).is_none() {
            return Err(TreeError::TooManyKeys);
        }
        let mut leaves = BTreeMap::new();
        for (position, spki) in (0..keys).zip(spkis) {
            let spki = spki.as_ref();
            let epoch = Epoch::new(first_epoch.number() + u32::from(position));
            if spki.len() != SPKI_LENGTH {
                return Err(TreeError::Key(epoch));
            }
            leaves.insert(position, leaf_hash(purpose, epoch, spki));
        }
        if let Some(key) = successor {
            leaves.insert(LAST_POSITION, successor_hash(purpose, key));
        }
        Ok(Self::over(first_epoch, keys, leaves))
    }

    /// The root, to be pinned.
    #[must_use]
    pub const fn root(&self) -> Root {
        self.root
    }

    /// The proof for an epoch's key; `None` if the tree has no key for it.
    #[must_use]
    pub fn proof(&self, epoch: Epoch) -> Option<Proof> {
        let position = epoch.number().checked_sub(self.first_epoch.number())?;
        let position = u16::try_from(position).ok().filter(|position| *position < self.keys)?;
        Some(self.path(position))
    }

    /// The proof for position 65,535: that there is, or that there is no successor.
    #[must_use]
    pub fn successor_proof(&self) -> Proof {
        self.path(LAST_POSITION)
    }

    fn over(first_epoch: Epoch, keys: u16, leaves: BTreeMap<u16, Hash>) -> Self {
        let mut levels = Vec::with_capacity(LEVELS);
        let mut empty = Vec::with_capacity(LEVELS);
        let (mut level, mut nothing) = (leaves, empty_hash());
        for _ in 0..LEVELS {
            let mut above = BTreeMap::new();
            for (index, hash) in &level {
                let sibling = level.get(&(index ^ 1)).unwrap_or(&nothing);
                let (left, right) = if index % 2 == 0 { (hash, sibling) } else { (sibling, hash) };
                above.entry(index / 2).or_insert_with(|| node_hash(left, right));
            }
            let nothing_above = node_hash(&nothing, &nothing);
            levels.push(std::mem::replace(&mut level, above));
            empty.push(std::mem::replace(&mut nothing, nothing_above));
        }
        let root = Root(level.get(&0).copied().unwrap_or(nothing));
        Self { first_epoch, keys, levels, empty, root }
    }

    fn path(&self, position: u16) -> Proof {
        let mut siblings = [[0; 32]; LEVELS];
        let nodes = self.levels.iter().zip(&self.empty).enumerate();
        for (sibling, (height, (level, empty))) in siblings.iter_mut().zip(nodes) {
            *sibling = *level.get(&(position >> height ^ 1)).unwrap_or(empty);
        }
        Proof::new(siblings)
    }
}

/// Why no tree was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// More than 65,535 keys, or epochs beyond the last.
    #[error("a tree has room for 65,535 epochs")]
    TooManyKeys,
    /// A key doesn't have the length of an SPKI.
    #[error("the key of epoch {0} is not an SPKI of 342 bytes")]
    Key(Epoch),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root by the definition: all 65,536 leaves, level by level.
    fn slow_root(mut level: Vec<Hash>) -> Hash {
        level.resize(1 << LEVELS, empty_hash());
        while level.len() > 1 {
            level = level.as_chunks::<2>().0.iter().map(|[l, r]| node_hash(l, r)).collect();
        }
        level[0]
    }

    fn spkis(count: usize) -> Vec<[u8; SPKI_LENGTH]> {
        (0..count).map(|i| [i as u8; SPKI_LENGTH]).collect()
    }

    #[test]
    fn sparse_and_full_agree() {
        let first = Epoch::new(500);
        for count in [0, 1, 2, 3, 7, 300] {
            let spkis = spkis(count);
            let tree = CommitmentTree::build(Purpose::Renewal, first, &spkis).unwrap();
            let mut leaves: Vec<Hash> = (500..)
                .zip(&spkis)
                .map(|(epoch, spki)| leaf_hash(Purpose::Renewal, Epoch::new(epoch), spki))
                .collect();
            assert_eq!(tree.root().0, slow_root(leaves.clone()), "{count} keys");

            let successor = SuccessorKey::from_bytes([9; 32]);
            let with =
                CommitmentTree::with_successor(Purpose::Renewal, first, &spkis, Some(&successor))
                    .unwrap();
            leaves.resize(LAST_POSITION.into(), empty_hash());
            leaves.push(successor_hash(Purpose::Renewal, &successor));
            assert_eq!(with.root().0, slow_root(leaves), "{count} keys and a successor");
            let last = successor_hash(Purpose::Renewal, &successor);
            assert_eq!(with.successor_proof().root(LAST_POSITION, last), with.root());
        }
    }

    #[test]
    fn the_first_and_the_last_epoch_have_proofs() {
        let spkis = spkis(65_535);
        let first = Epoch::new(20_000);
        let tree = CommitmentTree::build(Purpose::Access, first, &spkis).unwrap();
        for position in [0u16, 1, 32_767, 32_768, 65_534] {
            let epoch = Epoch::new(20_000 + u32::from(position));
            let leaf = leaf_hash(Purpose::Access, epoch, &spkis[usize::from(position)]);
            assert_eq!(tree.proof(epoch).unwrap().root(position, leaf), tree.root());
        }
        assert_eq!(tree.proof(Epoch::new(19_999)), None);
        assert_eq!(tree.proof(Epoch::new(20_000 + 65_535)), None);
        assert_eq!(tree.proof(Epoch::new(u32::MAX)), None);
        assert_eq!(tree.successor_proof().root(LAST_POSITION, empty_hash()), tree.root());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let build = |first, spkis: &[Vec<u8>]| {
            CommitmentTree::build(Purpose::Access, Epoch::new(first), spkis).err()
        };
        let key = vec![1; SPKI_LENGTH];
        assert_eq!(build(0, &vec![key.clone(); 65_536]), Some(TreeError::TooManyKeys));
        assert_eq!(build(u32::MAX, std::slice::from_ref(&key)), Some(TreeError::TooManyKeys));
        assert_eq!(build(u32::MAX - 1, std::slice::from_ref(&key)), None);
        let short = key[1..].to_vec();
        assert_eq!(build(7, &[key, short]), Some(TreeError::Key(Epoch::new(8))));
    }
}
