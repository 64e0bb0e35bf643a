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
        let (attested, report) = served.verify(&provider.enclave, &nonce, self.now())?;
        let names: Vec<String> = report.checks.iter().map(|check| check.name.to_string()).collect();
        self.narrator().checked(&format!("The attestation document: {}.", names.join(", ")));
        self.narrator().checked(
            "Configuration and minting key are the ones that were measured, and the pinned ones.",
        );
        Ok(attested)
    }
}
