//! The gate that is in use, which learns of new keys while the service runs.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ::http::HeaderMap;
use attested::Provider;
use coarse::UnixTime;
use epoch_keys::{ImportError, Imported, PublishedKey, Purpose};
use privacy_pass::ChallengeError;

use crate::gate::{Admitted, Refused, TokenGate};
use crate::store::{DipStore, Error};

/// How long it takes at least until keys are looked for again: another instance of the service may have taken them in.
const PAUSE: Duration = Duration::from_secs(10);

/// A [`TokenGate`], made anew when there are new keys.
pub struct LiveGate {
    provider: Provider,
    gate: RwLock<Arc<TokenGate>>,
    looked: Mutex<Instant>,
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The provider's names can't be part of a challenge.
    #[error("the provider's names can't be part of a challenge")]
    Names(#[from] ChallengeError),
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
}

impl LiveGate {
    /// A gate with the keys of `store`.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn open(provider: Provider, store: &impl DipStore) -> Result<Self, GateError> {
        let (gate, _) = TokenGate::new(&provider, &store.token_keys().await?)?;
        let (gate, looked) = (RwLock::new(Arc::new(gate)), Mutex::new(Instant::now()));
        Ok(Self { provider, gate, looked })
    }

    /// The gate as it is now.
    #[must_use]
    pub fn present(&self) -> Arc<TokenGate> {
        Arc::clone(&self.gate.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in the keys of `store`.
    ///
    /// # Errors
    /// [`GateError`]; the former keys stay in use.
    pub async fn reload(&self, store: &impl DipStore) -> Result<(), GateError> {
        let (gate, ignored) = TokenGate::new(&self.provider, &store.token_keys().await?)?;
        tracing::info!(keys = gate.keys(), ignored, "token keys loaded");
        *self.gate.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(gate);
        Ok(())
    }

    /// Checks the token in a request's `Authorization` header, after a look for new keys if its key isn't known.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        now: UnixTime,
        store: &impl DipStore,
    ) -> Result<Admitted, Refused> {
        match self.present().admit(headers, now) {
            Err(Refused::Key) if self.may_look() => {
                if let Err(error) = self.reload(store).await {
                    tracing::error!(%error, "token keys can't be loaded");
                }
                self.present().admit(headers, now)
            }
            admitted => admitted,
        }
    }

    /// The keys of what an issuer publishes that are for this gate; `None` when the provider has no tree of them.
    ///
    /// # Errors
    /// As [`Imported::sift`].
    pub fn sift(&self, published: Vec<PublishedKey>) -> Option<Result<Imported, ImportError>> {
        let tree = self.provider.tree(Purpose::DedicatedIp)?;
        Some(Imported::sift(published, tree))
    }

    fn may_look(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looked.elapsed() >= PAUSE;
        if may {
            *looked = Instant::now();
        }
        may
    }
}
