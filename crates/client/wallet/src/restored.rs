//! A lease that was taken from a backup.

use access_code::Contents;
use attested::Attested;
use dip_api::GatewayInfo;
use jws::Compact;
use minting::Minted;
use peer_key::PeerSecret;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::lease_state::Refresh;
use crate::{AnswerError, Leased, Sealed};

/// A lease without an access token for this device: its refresh token is there, and a refresh is the next step.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Restored(Contents);

impl Restored {
    /// The lease that a backup holds.
    #[must_use]
    pub const fn new(contents: Contents) -> Self {
        Self(contents)
    }

    /// What the backup said.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.0
    }

    /// Seals a request for this device's tokens, bound to the lease, with the proof that the device's key is ours.
    ///
    /// # Errors
    /// [`AnswerError::Seal`].
    pub fn seal_request(
        &self,
        srt: &Compact,
        device: &PeerSecret,
        enclave: &Attested,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, AnswerError> {
        let refresh = Refresh { drt: &self.0.drt, lease: self.0.lease, give_back: false };
        refresh.seal(srt, device, enclave, rng)
    }

    /// The lease with this device's tokens.
    #[must_use]
    pub const fn lease(minted: Minted, gateway: GatewayInfo) -> Leased {
        Leased::taken_over(minted, gateway)
    }
}
