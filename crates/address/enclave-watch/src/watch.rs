//! Keeping the keys: until the enclave is up, hourly, and on sight of an unknown key.

use std::sync::Arc;
use std::time::Duration;

use jws::KeySet;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use crate::AttestError;

/// Asks an enclave for its minting keys and verifies what it answers.
pub trait Attestor: Send + Sync + 'static {
    /// The keys of the enclave as it is now.
    fn minting_keys(&self) -> impl Future<Output = Result<KeySet, AttestError>> + Send;
}

/// How often a known enclave is asked again.
const REFRESH: Duration = Duration::from_secs(3600);
/// How long to wait after the first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest wait between two failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Anybody can send something with an unknown key's name, so that it makes us ask this often at most.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

/// The minting keys of an attested enclave.
pub struct EnclaveWatch<A> {
    attestor: A,
    keys: watch::Sender<Option<Arc<KeySet>>>,
    last_renewal: Mutex<Option<Instant>>,
}

/// Why what claims to be the enclave's isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The enclave hasn't been attested yet: try again later.
    #[error("the enclave has not been attested yet")]
    NotAttested,
    /// It isn't signed by the enclave, or not what was expected.
    #[error(transparent)]
    Refused(#[from] jws::Error),
}

impl<A: Attestor> EnclaveWatch<A> {
    /// A watch that knows no keys yet; [`run`](Self::run) gets them.
    pub fn new(attestor: A) -> Self {
        Self { attestor, keys: watch::Sender::new(None), last_renewal: Mutex::new(None) }
    }

    /// Who is asked.
    pub const fn attestor(&self) -> &A {
        &self.attestor
    }

    /// The keys, once there are any.
    #[must_use]
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.borrow().clone()
    }

    /// The keys, for whoever wants to know of each change.
    #[must_use]
    pub fn watched(&self) -> watch::Receiver<Option<Arc<KeySet>>> {
        self.keys.subscribe()
    }

    /// Waits until there are keys.
    pub async fn known(&self) {
        // It only fails when the sender is gone, which is ours.
        let _ = self.keys.subscribe().wait_for(Option::is_some).await;
    }

    /// Runs a check with the keys. When the thing checked is signed by an unknown key, the enclave is attested
    /// again first (it may have a new key), and the check is made once more.
    ///
    /// # Errors
    /// [`Unverified`].
    pub async fn verify<C>(
        &self,
        check: impl Fn(&KeySet) -> Result<C, jws::Error>,
    ) -> Result<C, Unverified> {
        let keys = self.keys().ok_or(Unverified::NotAttested)?;
        match check(&keys) {
            Err(jws::Error::UnknownKey) => {
                self.renew().await;
                let keys = self.keys().ok_or(Unverified::NotAttested)?;
                Ok(check(&keys)?)
            }
            checked => Ok(checked?),
        }
    }

    /// Attests now.
    ///
    /// # Errors
    /// [`AttestError`]; former keys stay, since nothing is known against them.
    pub async fn attest(&self) -> Result<(), AttestError> {
        let fresh = self.attestor.minting_keys().await?;
        self.keys.send_replace(Some(Arc::new(fresh)));
        Ok(())
    }

    /// Attests, and goes on doing so: soon after a failure, hourly after a success. Never returns.
    pub async fn run(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attest().await {
                Ok(()) => {
                    tracing::info!("the enclave is attested");
                    pause = FIRST_PAUSE;
                    sleep(REFRESH).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the enclave is not attested");
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Attests unless that was done for the same reason just before. Whoever comes meanwhile waits for the result.
    async fn renew(&self) {
        let mut last = self.last_renewal.lock().await;
        if last.is_some_and(|last| last.elapsed() < RENEWAL_PAUSE) {
            return;
        }
        if let Err(error) = self.attest().await {
            tracing::warn!(%error, "the enclave is not attested anew");
        }
        *last = Some(Instant::now());
    }
}
