//! Making sure of the enclave.

use attested::{Attested, NONCE_LEN, Provider, Served};
use rand_core::Rng as _;

use crate::session::rng;
use crate::{Error, Session};

const SERVICE: &str = "enclave";

impl Session {
    /// Has the enclave attest with a fresh nonce, and checks everything.
    pub(crate) async fn attest(&self, provider: &Provider) -> Result<Attested, Error> {
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
