//! The private side of the keys that may sign now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blind_rsa::{RawSigner, SignError};
use coarse::{Epoch, UnixTime};
use epoch_keys::Purpose;
use privacy_pass::KeyId;

use crate::{BlindSignature, KeyStore, KeyStoreError, Keys};

/// Signs with the keys of the present windows, on the threads of the runtime, and erases the keys of past ones.
pub struct Signers {
    keys: Arc<Keys>,
    store: Box<dyn KeyStore>,
    loaded: Mutex<BTreeMap<(Purpose, Epoch), Arc<dyn RawSigner>>>,
    /// What is still to be erased one day.
    held: Mutex<BTreeSet<(Purpose, Epoch)>>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignFailure {
    /// The epoch's key doesn't sign now: too early, or too late.
    #[error("the key signs in its own epoch and the one before only")]
    Window,
    /// The blinded message is not a number between 2 and N - 2.
    #[error("the blinded message is out of range for the key")]
    Input,
    /// The private key is gone, though its window is open: was it restored without its epoch key?
    #[error("the private key is missing")]
    Missing,
    /// The private key in the store is another than the committed one.
    #[error("the private key is not the one that was committed to")]
    OtherKey,
    /// The key store failed.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// The computation went wrong; its result was withheld.
    #[error("the computation failed")]
    Computation,
}

impl Signers {
    /// The signers for `keys`, whose private halves are in `store`. Erases what is past already.
    /// Blocks.
    pub fn new(
        keys: Arc<Keys>,
        store: Box<dyn KeyStore>,
        now: UnixTime,
    ) -> Result<Self, KeyStoreError> {
        let held = Mutex::new(store.held()?.into_iter().collect());
        let signers = Self { keys, store, loaded: Mutex::default(), held };
        signers.erase_ended(now)?;
        Ok(signers)
    }

    /// Destroys every private key whose window has ended. Blocks.
    pub fn erase_ended(&self, now: UnixTime) -> Result<(), KeyStoreError> {
        let ended = |(purpose, epoch): &(Purpose, Epoch)| now >= purpose.epoch_end(*epoch);
        let past: Vec<_> = lock(&self.held).iter().copied().filter(ended).collect();
        for key @ (purpose, epoch) in past {
            lock(&self.loaded).remove(&key);
            self.store.erase(purpose, epoch)?;
            lock(&self.held).remove(&key);
            tracing::info!(purpose = purpose.as_str(), epoch = epoch.number(), "erased a key");
        }
        Ok(())
    }

    /// Signs a blinded message of 256 bytes.
    pub async fn sign(
        self: &Arc<Self>,
        purpose: Purpose,
        epoch: Epoch,
        blinded: [u8; 256],
        now: UnixTime,
    ) -> Result<BlindSignature, SignFailure> {
        if !purpose.may_sign(epoch, now) {
            return Err(SignFailure::Window);
        }
        if self.is_ready(purpose, epoch, now) {
            // A fifth of a millisecond: handing it to another thread and back would be felt, and the
            // runtime has as many threads as there are cores.
            return self.compute(purpose, epoch, &blinded);
        }
        let signers = Arc::clone(self);
        let signed = tokio::task::spawn_blocking(move || {
            signers.erase_ended(now)?;
            signers.compute(purpose, epoch, &blinded)
        });
        signed.await.map_err(|_| SignFailure::Computation)?
    }

    /// Whether signing touches no file: the key is loaded, and none is to be erased first.
    fn is_ready(&self, purpose: Purpose, epoch: Epoch, now: UnixTime) -> bool {
        let held = lock(&self.held);
        // The oldest of each purpose ends first.
        let oldest = Purpose::ALL.into_iter().filter_map(|purpose| {
            held.range((purpose, Epoch::new(0))..).next().filter(|key| key.0 == purpose)
        });
        oldest.into_iter().all(|(purpose, epoch)| now < purpose.epoch_end(*epoch))
            && lock(&self.loaded).contains_key(&(purpose, epoch))
    }

    fn compute(
        &self,
        purpose: Purpose,
        epoch: Epoch,
        blinded: &[u8],
    ) -> Result<BlindSignature, SignFailure> {
        let signature = self.load(purpose, epoch)?.sign_blinded(blinded);
        let signature = signature.map_err(|error| match error {
            SignError::Input => SignFailure::Input,
            SignError::Fault | SignError::Library => SignFailure::Computation,
        })?;
        let signature = signature.try_into().map_err(|_| SignFailure::Computation)?;
        Ok(BlindSignature(signature))
    }

    fn load(&self, purpose: Purpose, epoch: Epoch) -> Result<Arc<dyn RawSigner>, SignFailure> {
        if let Some(signer) = lock(&self.loaded).get(&(purpose, epoch)) {
            return Ok(Arc::clone(signer));
        }
        let signer = self.store.signer(purpose, epoch)?.ok_or(SignFailure::Missing)?;
        if Some(KeyId::of(signer.public_key())) != self.keys.id(purpose, epoch) {
            return Err(SignFailure::OtherKey);
        }
        let signer: Arc<dyn RawSigner> = Arc::from(signer);
        lock(&self.loaded).insert((purpose, epoch), Arc::clone(&signer));
        Ok(signer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
