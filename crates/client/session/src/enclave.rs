//! Making sure of the enclave.

use attested::{Attested, EnclavePin, NONCE_LEN, Provider, Served};
use coarse::UnixTime;
use rand_core::Rng as _;

use crate::session::rng;
use crate::{Error, Session};

const SERVICE: &str = "enclave";

/// An enclave that attested to a nonce of ours, and whose document passed every check.
#[derive(Clone)]
pub struct Attestation {
    enclave: Attested,
    pin: EnclavePin,
}

impl Attestation {
    /// Whether it is good still: made for this pin, and no older than a fresh document may be when it arrives.
    fn holds(&self, pin: &EnclavePin, now: UnixTime) -> bool {
        let made = UnixTime::from_seconds(self.enclave.timestamp_ms / 1000);
        self.pin == *pin && now < made.plus(EnclavePin::MAX_AGE)
    }
}

impl Session {
    /// Has the enclave attest, for [`reuse`](Self::reuse) by other sessions of this process.
    ///
    /// # Errors
    /// As assigning.
    pub async fn attestation(&mut self) -> Result<Attestation, Error> {
        let provider = self.provider()?;
        let enclave = self.attest(&provider).await?;
        Ok(Attestation { enclave, pin: provider.enclave })
    }

    /// Takes what another session of this process verified, for as long as a document may be old: five minutes.
    pub fn reuse(&mut self, attestation: Attestation) {
        self.attestation = Some(attestation);
    }

    /// The enclave to seal to: one that was verified before, as long as that holds, else one that attests now.
    pub(crate) async fn enclave(&self, provider: &Provider) -> Result<Attested, Error> {
        match &self.attestation {
            Some(held) if held.holds(&provider.enclave, self.now()) => Ok(held.enclave.clone()),
            _ => self.attest(provider).await,
        }
    }

    /// Has the enclave attest with a fresh nonce, and checks everything.
    async fn attest(&self, provider: &Provider) -> Result<Attested, Error> {
        self.narrator().step("Having the enclave attest");
        let mut nonce = [0; NONCE_LEN];
        rng().fill_bytes(&mut nonce);
        let path = format!("/attestation?nonce={}", hex::encode(nonce));
        let served: Served = self.get(SERVICE, &provider.urls.enclave, &path).await?;
        let (attested, report, pin) = served.verify_any(provider.enclaves(), &nonce, self.now())?;
        let narrator = self.narrator();
        narrator.checked(&format!(
            "Its document is signed under the pinned root, fresh, and made for our nonce ({} checks).",
            report.checks.len()
        ));
        for (index, pcr) in pin.pcrs() {
            let start: String = hex::encode(pcr).chars().take(16).collect();
            narrator.checked(&format!("It runs the pinned code: PCR{index} is {start}..."));
        }
        narrator.checked(
            "Configuration and minting keys are the ones that were measured, and the configuration is a pinned one.",
        );
        Ok(attested)
    }
}
