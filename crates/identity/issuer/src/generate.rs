//! Making the keys of a purpose.

use std::num::NonZero;
use std::sync::mpsc;
use std::thread;

use blind_rsa::{AwsLcSigner, KeyError, RawSigner as _};
use coarse::Epoch;
use epoch_keys::{Purpose, ScheduledKey, TreePin, truncated_id_collides};
use privacy_pass::KeyId;
use rand_core::CryptoRng;

use crate::{FileKeyStore, KeyStore as _, KeyStoreError, Keys, KeysError};

/// Bits of every key (RFC 9578 section 8.2.1).
const BITS: u32 = 2048;

/// Why no keys were made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The keys can't be kept.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// What is committed to already is damaged.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The cryptographic library gave no key.
    #[error("no key could be made")]
    Key(#[from] KeyError),
    /// Epochs end at 2^32, and a tree has room for 65,535.
    #[error("there are no such epochs")]
    Epochs,
}

/// Makes `count` keys for `purpose`, from `first_epoch` on, on all cores; keeps them in `store` and commits
/// to them. A key whose truncated id is that of another key (of any purpose) that signs at the same
/// time is thrown away. `progress` hears how many are done.
pub fn generate(
    store: &FileKeyStore,
    purpose: Purpose,
    first_epoch: Epoch,
    count: NonZero<u16>,
    rng: &mut impl CryptoRng,
    mut progress: impl FnMut(u16),
) -> Result<TreePin, GenerateError> {
    let epochs = first_epoch.number()..;
    let last = first_epoch.number().checked_add(count.get().into()).ok_or(GenerateError::Epochs)?;
    let mut draft = store.draft(purpose, first_epoch)?;
    // After the draft has its lock, so that no other generator adds to it.
    let mut scheduled: Vec<_> = Keys::new(store.committed()?)?.scheduled().collect();
    thread::scope(|scope| {
        // Whoever stops taking keys (at the end, or at an error) stops the makers.
        let (made, keys) = mpsc::sync_channel(1);
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let made = made.clone();
            scope.spawn(move || while made.send(AwsLcSigner::generate(BITS)).is_ok() {});
        }
        for (done, epoch) in (1..).zip(epochs.take_while(|epoch| *epoch < last)) {
            let (purpose, epoch) = (purpose, Epoch::new(epoch));
            loop {
                let signer = keys.recv().map_err(|_| KeyStoreError::Library)??;
                let key_id = KeyId::of(signer.public_key());
                let candidate = ScheduledKey { purpose, epoch, key_id };
                if !truncated_id_collides(&candidate, &scheduled) {
                    draft.add(&signer, rng)?;
                    scheduled.push(candidate);
                    break;
                }
            }
            progress(done);
        }
        Ok::<_, GenerateError>(())
    })?;
    Ok(draft.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(store: &FileKeyStore, purpose: Purpose, count: u16) -> Result<TreePin, GenerateError> {
        let count = NonZero::new(count).unwrap();
        generate(store, purpose, Epoch::new(100), count, &mut coarse::system_rng(), |_| {})
    }

    #[test]
    fn a_tree_is_made_once() {
        let room = tempfile::tempdir().unwrap();
        let store = FileKeyStore::open(room.path(), &mut coarse::system_rng()).unwrap();
        let pin = make(&store, Purpose::Access, 2).unwrap();
        let again = make(&store, Purpose::Access, 1);
        assert!(matches!(again, Err(GenerateError::Store(KeyStoreError::Exists(_)))));
        make(&store, Purpose::DedicatedIp, 1).unwrap();
        let committed = store.committed().unwrap();
        assert_eq!(committed.iter().find(|tree| tree.pin == pin).unwrap().spkis.len(), 2);
        assert_eq!(committed.len(), 2);
    }

    #[test]
    fn a_broken_off_run_leaves_nothing_that_is_used() {
        let room = tempfile::tempdir().unwrap();
        let store = FileKeyStore::open(room.path(), &mut coarse::system_rng()).unwrap();
        let mut draft = store.draft(Purpose::Access, Epoch::new(100)).unwrap();
        let busy = store.draft(Purpose::Access, Epoch::new(100)).err();
        assert!(matches!(busy, Some(KeyStoreError::Busy)));
        let signer = AwsLcSigner::generate(BITS).unwrap();
        draft.add(&signer, &mut coarse::system_rng()).unwrap();
        drop(draft);
        assert!(store.committed().unwrap().is_empty());
        make(&store, Purpose::Access, 1).unwrap();
        let kept = store.signer(Purpose::Access, Epoch::new(100)).unwrap().unwrap();
        assert_ne!(kept.public_key(), signer.public_key());
    }
}
