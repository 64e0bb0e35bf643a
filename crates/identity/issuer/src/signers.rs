//! The private side of the keys that may sign now.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use blind_rsa::{RawSigner, SignError};
use coarse::{Epoch, UnixTime};
use epoch_keys::Purpose;
use privacy_pass::KeyId;
use tokio::sync::Semaphore;

use crate::{BlindSignature, KeyStore, KeyStoreError, Keys};

/// Signs with the keys of the present windows, on as many threads as there are cores, and erases the
/// keys of past ones.
pub struct Signers {
    keys: Arc<Keys>,
    store: Box<dyn KeyStore>,
    loaded: Mutex<BTreeMap<(Purpose, Epoch), Arc<dyn RawSigner>>>,
    /// What is still to be erased one day.
    held: Mutex<BTreeSet<(Purpose, Epoch)>>,
    cores: Arc<Semaphore>,
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
        let cores = available_parallelism().map_or(1, NonZero::get);
        let (loaded, cores) = (Mutex::default(), Arc::new(Semaphore::new(cores)));
        let signers = Self { keys, store, loaded, held, cores };
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
        let slot = Arc::clone(&self.cores).acquire_owned().await;
        let signers = Arc::clone(self);
        let signed = tokio::task::spawn_blocking(move || {
            // Held until the thread is free again, even when nobody waits for the result any more.
            let _slot = slot;
            signers.erase_ended(now)?;
            signers.compute(purpose, epoch, &blinded)
        });
        signed.await.map_err(|_| SignFailure::Computation)?
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
