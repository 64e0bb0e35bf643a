//! The session: a wallet, a way out, a clock, and somebody to tell.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use attested::Provider;
use bytes::Bytes;
use coarse::{Clock, SystemRng, UnixTime, system_rng};
use http::{Request, Response};
use http_client::{BaseUrl, ClientConfig, ClientError, HttpClient};
use rand_core::CryptoRng;
use serde::de::DeserializeOwned;
use wallet::{Wallet, WalletFile};

use crate::trust::is_untrusted;
use crate::{Attestation, Error, Narrator};

/// How a session is set up.
#[derive(Clone)]
pub struct SessionConfig {
    /// Where the wallet is.
    pub home: PathBuf,
    /// The local address that connections and tunnels leave from; the system's choice when `None`.
    pub source: Option<IpAddr>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub narrator: Arc<dyn Narrator>,
}

/// A person's session. It holds the wallet's lock.
pub struct Session {
    pub(crate) config: SessionConfig,
    pub(crate) file: WalletFile,
    pub(crate) attestation: Option<Attestation>,
    /// The provider's file, verified, as long as the wallet trusts it.
    pub(crate) verified: OnceLock<Provider>,
    http: HttpClient,
    /// Whether what is asked of the identity side keeps hours apart from what is asked of the address side.
    pub(crate) apart: bool,
}

impl Session {
    /// Opens the wallet.
    ///
    /// # Errors
    /// [`Error::Wallet`].
    pub fn open(config: SessionConfig) -> Result<Self, Error> {
        let file = WalletFile::open(&config.home, &mut system_rng())?;
        let client = ClientConfig { bind: config.source, ..ClientConfig::default() };
        Ok(Self {
            config,
            file,
            attestation: None,
            verified: OnceLock::new(),
            http: HttpClient::new(client, ()),
            apart: false,
        })
    }

    /// What the wallet holds.
    #[must_use]
    pub const fn wallet(&self) -> &Wallet {
        self.file.wallet()
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.config.clock.now()
    }

    pub(crate) fn narrator(&self) -> &dyn Narrator {
        &*self.config.narrator
    }

    /// The trusted provider; warns at every use of a root that calls itself untrusted.
    pub(crate) fn provider(&self) -> Result<Provider, Error> {
        let trust = self.wallet().trust.as_ref().ok_or(Error::NoTrust)?;
        let provider = match self.verified.get() {
            Some(provider) => provider.clone(),
            None => {
                let provider = trust.provider()?;
                self.verified.get_or_init(|| provider).clone()
            }
        };
        if provider.has_expired(self.now()) {
            return Err(Error::Expired);
        }
        if is_untrusted(&provider) {
            if !trust.accepts_untrusted_development {
                return Err(Error::UntrustedRoot);
            }
            self.narrator().warn(
                "The attestation root is UNTRUSTED DEVELOPMENT: this enclave protects nobody.",
            );
        }
        Ok(provider)
    }

    pub(crate) async fn get<A: DeserializeOwned>(
        &self,
        service: &'static str,
        base: &str,
        path: &str,
    ) -> Result<A, Error> {
        let base = url(service, base)?;
        let response = self.http.get(&base, path).await;
        response
            .and_then(|response| http_client::parse(&response))
            .map_err(|error| Error::Service { service, error })
    }

    pub(crate) async fn send(
        &self,
        service: &'static str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Error> {
        let response = self.http.send(request).await;
        let response = response.map_err(|error| Error::Service { service, error })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let problem = http_client::ReceivedProblem::from_response(&response);
        Err(Error::Service { service, error: ClientError::Problem(problem) })
    }
}

/// A service's base URL.
pub(crate) fn url(service: &'static str, base: &str) -> Result<BaseUrl, Error> {
    base.parse().map_err(|_| Error::Url(service))
}

/// A request to `path` at `base`.
pub(crate) fn request(
    service: &'static str,
    base: &str,
    method: http::Method,
    path: &str,
    headers: &[(http::HeaderName, &str)],
    body: Vec<u8>,
) -> Result<Request<Bytes>, Error> {
    let uri = url(service, base)?.join(path).map_err(|_| Error::Url(service))?;
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        let mut value = http::HeaderValue::from_str(value)
            .map_err(|_| Error::Unexpected { service, what: "a header could not be written" })?;
        value.set_sensitive(*name == http::header::AUTHORIZATION);
        request = request.header(name, value);
    }
    request
        .body(Bytes::from(body))
        .map_err(|_| Error::Unexpected { service, what: "the request could not be written" })
}

/// The system's randomness.
pub(crate) fn rng() -> SystemRng {
    system_rng()
}

/// A whole number of seconds from 0 to `most`, each as likely.
pub(crate) fn up_to(most: u32, rng: &mut impl CryptoRng) -> u32 {
    let range = most.saturating_add(1);
    let zone = u32::MAX - u32::MAX % range;
    loop {
        let drawn = rng.next_u32();
        if drawn < zone {
            return drawn % range;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let drawn: Vec<u32> = (0..400).map(|_| up_to(3, &mut rng())).collect();
        assert!((0..=3).all(|second| drawn.contains(&second)));
        assert!(drawn.iter().all(|second| *second <= 3));
        assert_eq!(up_to(0, &mut rng()), 0);
    }
}
