//! Attestation through the enclave's parent.

use std::sync::Arc;

use attested::{AttestationError, EnclavePin, NONCE_LEN, Served};
use coarse::Clock;
use jws::KeySet;
use rand_core::Rng as _;
use service::{BaseUrl, ClientError, HttpClient, Tap};

use crate::Attestor;

/// Asks the enclave's parent for an attestation with a fresh nonce, and verifies it against the pins.
#[derive(Clone)]
pub struct ParentAttestor<T: Tap = ()> {
    client: HttpClient<T>,
    parent: BaseUrl,
    pins: Arc<[EnclavePin]>,
    clock: Arc<dyn Clock>,
}

/// Why there are no minting keys.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The parent gave no attestation; it may a little later.
    #[error("the enclave's parent gives no attestation: {0}")]
    Parent(#[from] ClientError),
    /// It gave one that isn't to be believed.
    #[error("the enclave's attestation was refused: {0}")]
    Refused(#[from] AttestationError),
}

impl<T: Tap> ParentAttestor<T> {
    /// Asks at `parent`, for an enclave that fits one of `pins`.
    #[must_use]
    pub fn new(
        client: HttpClient<T>,
        parent: BaseUrl,
        pins: impl IntoIterator<Item = EnclavePin>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client, parent, pins: pins.into_iter().collect(), clock }
    }
}

impl<T: Tap> Attestor for ParentAttestor<T> {
    async fn minting_keys(&self) -> Result<KeySet, AttestError> {
        let mut nonce = [0; NONCE_LEN];
        coarse::system_rng().fill_bytes(&mut nonce);
        let path = format!("{}?nonce={}", wire::http::ATTESTATION, hex::encode(nonce));
        let served: Served = service::parse(&self.client.get(&self.parent, &path).await?)?;
        let (attested, ..) = served.verify_any(self.pins.iter(), &nonce, self.clock.now())?;
        Ok(attested.minting_keys)
    }
}
