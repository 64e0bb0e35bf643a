//! The public side of all keys that were committed to.

use std::collections::BTreeMap;

use blind_rsa::PublicKey;
use coarse::{Epoch, UnixTime};
use encoding::Base64Url;
use epoch_keys::{
    CommitmentTree, PinError, PublishedKey, Purpose, ScheduledKey, TreePin, truncated_id_collides,
};
use privacy_pass::{DirectoryKey, IssuerDirectory, KeyId};

use crate::Committed;

/// Every committed key, with its proof.
pub struct Keys(BTreeMap<Purpose, Tree>);

struct Tree {
    pin: TreePin,
    tree: CommitmentTree,
    /// From the first epoch on.
    keys: Vec<Key>,
}

struct Key {
    spki: Vec<u8>,
    id: KeyId,
}

/// Why committed keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The keys don't lead to the root.
    #[error("the keys for {0} are not those that the root commits to: restore the file")]
    Root(Purpose),
    /// A committed key isn't sound.
    #[error("the key for {0}, epoch {1} can't be used")]
    Key(Purpose, Epoch, #[source] PinError),
    /// Two keys that sign at the same time have the same truncated id.
    #[error("the keys for {0}, epoch {1} and {2}, epoch {3} share a truncated id")]
    Collision(Purpose, Epoch, Purpose, Epoch),
}

impl Keys {
    /// Takes committed keys in, and checks each against its root, and that no truncated id could mean
    /// two of them.
    pub fn new(committed: Vec<Committed>) -> Result<Self, KeysError> {
        let mut trees = BTreeMap::new();
        for one in committed {
            trees.insert(one.pin.purpose, Tree::new(one)?);
        }
        let keys = Self(trees);
        keys.refuse_collisions()?;
        Ok(keys)
    }

    /// What clients pin.
    pub fn pins(&self) -> impl Iterator<Item = TreePin> {
        self.0.values().map(|tree| tree.pin)
    }

    /// The id of an epoch's key; `None` when there is no key.
    #[must_use]
    pub fn id(&self, purpose: Purpose, epoch: Epoch) -> Option<KeyId> {
        self.0.get(&purpose)?.key(epoch).map(|key| key.id)
    }

    /// An epoch's key as it is handed out; `None` when there is none.
    #[must_use]
    pub fn published(&self, purpose: Purpose, epoch: Epoch) -> Option<PublishedKey> {
        let tree = self.0.get(&purpose)?;
        let public_key = Base64Url(tree.key(epoch)?.spki.clone());
        let proof = tree.tree.proof(epoch)?;
        Some(PublishedKey { purpose, epoch, public_key, proof })
    }

    /// When each key signs, and under which id.
    pub fn scheduled(&self) -> impl Iterator<Item = ScheduledKey> {
        self.0.values().flat_map(|tree| {
            let (purpose, first) = (tree.pin.purpose, tree.pin.first_epoch.number());
            (first..).zip(&tree.keys).map(move |(number, key)| ScheduledKey {
                purpose,
                epoch: Epoch::new(number),
                key_id: key.id,
            })
        })
    }

    /// The keys that sign at `now`: those of the current epochs, then those of the next.
    #[must_use]
    pub fn signing(&self, now: UnixTime) -> Vec<ScheduledKey> {
        let mut signing = Vec::new();
        for place in 0..2 {
            for (purpose, tree) in &self.0 {
                let epoch = purpose.signing_window(now).get(place).copied();
                signing.extend(epoch.and_then(|epoch| {
                    let key_id = tree.key(epoch)?.id;
                    Some(ScheduledKey { purpose: *purpose, epoch, key_id })
                }));
            }
        }
        signing
    }

    /// The directory of RFC 9578 section 4 at `now`, most current keys first. A key of a next epoch
    /// says from when on its tokens are good.
    #[must_use]
    pub fn directory(&self, now: UnixTime) -> IssuerDirectory {
        let signing = self.signing(now);
        let entries = signing.iter().filter_map(|key| {
            let start = key.purpose.epoch_start(key.epoch);
            let spki = &self.0.get(&key.purpose)?.key(key.epoch)?.spki;
            let public = PublicKey::from_spki(spki).ok()?;
            Some(DirectoryKey::new(&public, (start > now).then_some(start)))
        });
        IssuerDirectory {
            issuer_request_uri: issuer_api::TOKEN_REQUEST.to_owned(),
            token_keys: entries.collect(),
        }
    }

    fn refuse_collisions(&self) -> Result<(), KeysError> {
        let mut by_byte: BTreeMap<u8, Vec<ScheduledKey>> = BTreeMap::new();
        for key in self.scheduled() {
            let same = by_byte.entry(key.key_id.truncated()).or_default();
            if let Some(other) = same.iter().find(|other| truncated_id_collides(&key, [*other])) {
                return Err(KeysError::Collision(
                    other.purpose,
                    other.epoch,
                    key.purpose,
                    key.epoch,
                ));
            }
            same.push(key);
        }
        Ok(())
    }
}

impl Tree {
    fn new(Committed { pin, spkis }: Committed) -> Result<Self, KeysError> {
        let purpose = pin.purpose;
        let tree = CommitmentTree::build(purpose, pin.first_epoch, &spkis).ok();
        let tree = tree.filter(|tree| tree.root() == pin.root).ok_or(KeysError::Root(purpose))?;
        let mut keys = Vec::with_capacity(spkis.len());
        for (number, spki) in (pin.first_epoch.number()..).zip(spkis) {
            let epoch = Epoch::new(number);
            let proof = tree.proof(epoch).ok_or(KeysError::Root(purpose))?;
            let key = pin.verify(epoch, &spki, &proof);
            let key = key.map_err(|error| KeysError::Key(purpose, epoch, error))?;
            keys.push(Key { spki, id: *key.key_id() });
        }
        Ok(Self { pin, tree, keys })
    }

    fn key(&self, epoch: Epoch) -> Option<&Key> {
        let place = epoch.number().checked_sub(self.pin.first_epoch.number())?;
        self.keys.get(usize::try_from(place).ok()?)
    }
}
