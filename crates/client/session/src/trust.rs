//! Whom to trust: taking a provider's file in.

use attested::{Provider, SignedProvider};
use serde::Serialize;
use wallet::{Dip, Trust};

use crate::{Error, Session};

/// A trusted provider, for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustView {
    /// Its name.
    pub name: String,
    /// The name of the key that signed its file.
    pub signer: String,
    /// Whether its attestation root calls itself untrusted.
    pub untrusted_development: bool,
    /// What the file says.
    pub provider: Provider,
}

impl Session {
    /// Takes a provider's file in: pins its signer the first time, and takes later files from that signer only.
    ///
    /// # Errors
    /// [`Error::Provider`], [`Error::OtherSigner`] or [`Error::UntrustedRoot`].
    pub fn add_trust(
        &mut self,
        file: &[u8],
        accepts_untrusted_development: bool,
    ) -> Result<TrustView, Error> {
        let file = SignedProvider::parse(file)?;
        let provider = file.verify()?;
        self.narrator().checked("The file is signed by the key that it names.");
        if let Some(trusted) = &self.wallet().trust {
            if trusted.file.signer() != file.signer() {
                return Err(Error::OtherSigner);
            }
            self.narrator().checked("It is the provider that you trust already.");
        }
        if provider.enclave.is_untrusted_development() && !accepts_untrusted_development {
            return Err(Error::UntrustedRoot);
        }
        self.verified.take();
        self.file.change(|wallet| {
            wallet.trust = Some(Trust { file, accepts_untrusted_development });
        })?;
        self.trust_view()
    }

    /// Whom this wallet trusts.
    ///
    /// # Errors
    /// [`Error::NoTrust`] or [`Error::Provider`].
    pub fn trust_view(&self) -> Result<TrustView, Error> {
        let trust = self.wallet().trust.as_ref().ok_or(Error::NoTrust)?;
        let provider = trust.provider()?;
        Ok(TrustView {
            name: provider.name.clone(),
            signer: trust.file.signer().to_string(),
            untrusted_development: provider.enclave.is_untrusted_development(),
            provider,
        })
    }

    /// Trusts nobody any more. A wallet that holds a token or a lease keeps its provider: they are worth nothing without it.
    ///
    /// # Errors
    /// [`Error::Unexpected`] while there is something to lose.
    pub fn remove_trust(&mut self) -> Result<(), Error> {
        if !matches!(self.wallet().dip, Dip::Nothing) {
            return Err(Error::Unexpected {
                service: "wallet",
                what: "it holds a token or a lease of this provider; use another --home for another provider",
            });
        }
        self.verified.take();
        Ok(self.file.change(|wallet| wallet.trust = None)?)
    }
}
