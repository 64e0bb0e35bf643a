//! Whom to trust: taking a provider's file in.

use attested::{EnclavePin, Provider, SignedProvider};
use bytes::Bytes;
use http::{Method, Request};
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
    /// Takes a provider's file in: pins its signer the first time, and takes later files from that signer, or the successor that it named,
    /// only, and no older ones.
    ///
    /// # Errors
    /// [`Error::Provider`], [`Error::Expired`] or [`Error::UntrustedRoot`].
    pub fn add_trust(
        &mut self,
        file: &[u8],
        accepts_untrusted_development: bool,
    ) -> Result<TrustView, Error> {
        let file = SignedProvider::parse(file)?;
        let provider = file.verify()?;
        self.narrator().checked("The file is signed by the key that it names.");
        if let Some(trusted) = &self.wallet().trust {
            file.may_follow(&trusted.file)?;
            self.narrator()
                .checked("It is the provider that you trust already, and no older file.");
        }
        if provider.has_expired(self.now()) {
            return Err(Error::Expired);
        }
        if is_untrusted(&provider) && !accepts_untrusted_development {
            return Err(Error::UntrustedRoot);
        }
        self.verified.take();
        self.file.change(|wallet| {
            wallet.trust = Some(Trust { file, accepts_untrusted_development });
        })?;
        self.trust_view()
    }

    /// Fetches the provider's newest file from where the trusted one says that it is, and takes it in. Whether it is another one.
    ///
    /// # Errors
    /// [`Error::NoTrust`], [`Error::NoSource`], [`Error::Service`], or as [`add_trust`](Self::add_trust).
    pub async fn update_trust(&mut self) -> Result<bool, Error> {
        const SERVICE: &str = "provider";
        let trust = self.wallet().trust.as_ref().ok_or(Error::NoTrust)?;
        let (before, accepts) = (trust.provider()?, trust.accepts_untrusted_development);
        let url = before.update.url.clone().ok_or(Error::NoSource)?;
        self.narrator().step("Fetching the provider's newest file");
        let request = Request::builder().method(Method::GET).uri(url).body(Bytes::new());
        let request = request.map_err(|_| Error::Url(SERVICE))?;
        let response = self.send(SERVICE, request).await?;
        let after = self.add_trust(response.body(), accepts)?;
        Ok(after.provider != before)
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
            untrusted_development: is_untrusted(&provider),
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

/// Whether the attestation root of any of the enclaves calls itself untrusted.
pub(crate) fn is_untrusted(provider: &Provider) -> bool {
    provider.enclaves().any(EnclavePin::is_untrusted_development)
}
