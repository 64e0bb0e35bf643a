//! Asking each service by hand, over HTTP, as anybody can.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, anyhow};
use attested::{Attested, NONCE_LEN, Provider, Served, SignedProvider};
use bytes::Bytes;
use coarse::{Clock as _, Epoch, SystemClock, UnixTime, system_rng};
use dip_api::{Assign, Refresh};
use encoding::Base64Url;
use epoch_keys::{PublishedKey, Purpose};
use gateway_api::{AddPeer, Peer};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request};
use http_client::{ClientConfig, HttpClient, ReceivedProblem};
use jws::Compact;
use lab::Town;
use lease::{LeaseId, Region};
use peer_key::PeerKey;
use privacy_pass::{MEDIA_TYPE_REQUEST, TokenRequest};
use rand_core::Rng as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::http::{GENERATE_TOKENS, MintRequest, REFRESH_TOKENS};

use crate::tunnel;

/// The region of the pool.
pub const REGION: &str = "demo";

/// A provider's services.
#[derive(Clone)]
pub struct Services {
    /// What their operator says of them.
    pub provider: Provider,
    /// The gateway's URL.
    pub gateway: String,
}

/// What a service answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    problem: String,
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// For a refusal, or another form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let Self { status, body, .. } = self;
        let text = || format!("{status}: {}", String::from_utf8_lossy(body));
        if *status != 200 {
            return Err(anyhow!(text()));
        }
        serde_json::from_slice(body).with_context(text)
    }

    /// Status and the name of the problem.
    #[must_use]
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, &self.problem)
    }

    /// A header's text.
    ///
    /// # Errors
    /// When there is none.
    pub fn header(&self, name: &str) -> Result<&str> {
        let value = self.headers.get(name).with_context(|| format!("no header {name}"))?;
        Ok(value.to_str()?)
    }
}

impl Services {
    /// The services of a town.
    ///
    /// # Errors
    /// When its `provider.json` can't be used.
    pub fn of(town: &Town) -> Result<Self> {
        let file = SignedProvider::parse(&std::fs::read(town.provider())?)?;
        Ok(Self { provider: file.verify()?, gateway: town.url("gateway")? })
    }

    /// Accounts: a subscription receipt for an account number.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn srt(&self, account: &str) -> Result<Answer> {
        let bearer = format!("Bearer {account}");
        let url = &self.provider.urls.accounts;
        ask(Method::POST, url, accounts_api::SRT, &[(AUTHORIZATION.as_str(), &bearer)], vec![])
    }

    /// Blind token service: this week's key.
    ///
    /// # Errors
    /// When there is none.
    pub fn public_key(&self) -> Result<PublishedKey> {
        self.key_of(Purpose::DedicatedIp, Purpose::DedicatedIp.epoch_at(now()))
    }

    /// Blind token service: the key of a purpose and epoch.
    ///
    /// # Errors
    /// When there is none.
    pub fn key_of(&self, purpose: Purpose, epoch: Epoch) -> Result<PublishedKey> {
        let path = format!("{}?purpose={purpose}&epoch={}", issuer_api::PUBLIC_KEY, epoch.number());
        ask(Method::GET, &self.provider.urls.blind_token_service, &path, &[], vec![])?.json()
    }

    /// Blind token service: a blind signature.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn blind_sign(&self, srt: &str, request: &TokenRequest) -> Result<Answer> {
        let bearer = format!("Bearer {srt}");
        let headers =
            [(CONTENT_TYPE.as_str(), MEDIA_TYPE_REQUEST), (AUTHORIZATION.as_str(), &bearer)];
        let url = &self.provider.urls.blind_token_service;
        ask(Method::POST, url, issuer_api::TOKEN_REQUEST, &headers, request.encode())
    }

    /// Enclave: what it says of itself when it is asked with this nonce.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn attestation(&self, nonce: &[u8]) -> Result<Served> {
        let path = format!("{}?nonce={}", wire::http::ATTESTATION, hex::encode(nonce));
        ask(Method::GET, &self.provider.urls.enclave, &path, &[], vec![])?.json()
    }

    /// Enclave: asked with a fresh nonce and believed.
    ///
    /// # Errors
    /// When it isn't the pinned one.
    pub fn attest(&self) -> Result<Attested> {
        let mut nonce = [0; NONCE_LEN];
        system_rng().fill_bytes(&mut nonce);
        Ok(self.attestation(&nonce)?.verify(&self.provider.enclave, &nonce, now())?.0)
    }

    /// DIP service: an address for a token, which rides in `authorization`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn assign(
        &self,
        authorization: Option<&str>,
        region: &str,
        sealed: &[u8],
    ) -> Result<Answer> {
        let headers: Vec<_> =
            authorization.iter().map(|value| (AUTHORIZATION.as_str(), *value)).collect();
        let body = Assign { region: region.parse::<Region>()?, sealed: Base64Url(sealed.to_vec()) };
        post(&self.provider.urls.dip_service, dip_api::ASSIGN, &headers, &body)
    }

    /// DIP service: new tokens for a lease.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn refresh(&self, lease: LeaseId, sealed: &[u8]) -> Result<Answer> {
        let body = Refresh { lease, sealed: Base64Url(sealed.to_vec()) };
        post(&self.provider.urls.dip_service, dip_api::REFRESH, &[], &body)
    }

    /// Enclave, past the DIP service: tokens for an order.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn mint(&self, order: &Compact, sealed: &[u8]) -> Result<Answer> {
        self.order(GENERATE_TOKENS, order, sealed)
    }

    /// Enclave, past the DIP service: tokens for an extension order.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn mint_again(&self, order: &Compact, sealed: &[u8]) -> Result<Answer> {
        self.order(REFRESH_TOKENS, order, sealed)
    }

    /// Gateway: lets a device in.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn add_peer(&self, dat: &Compact, device: PeerKey) -> Result<Answer> {
        let body = AddPeer { dat: dat.clone(), device };
        post(&self.gateway, gateway_api::PEERS, &[], &body)
    }

    fn order(&self, path: &str, order: &Compact, sealed: &[u8]) -> Result<Answer> {
        let sealed = Base64Url(sealed.to_vec());
        let body = MintRequest { order: order.as_str().to_owned(), sealed };
        post(&self.provider.urls.enclave, path, &[], &body)
    }
}

/// A service's answer to any request.
///
/// # Errors
/// When there is no answer.
pub fn ask(
    method: Method,
    base: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer> {
    ask_by(ClientConfig::default(), method, base, path, headers, body)
}

/// The gateway's answer to what is asked from inside the tunnel with this proxy.
///
/// # Errors
/// When there is no answer.
pub fn ask_inside(
    proxy: SocketAddr,
    peer: &Peer,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Answer> {
    let config = ClientConfig { proxy: Some(proxy), ..ClientConfig::default() };
    let base = format!("http://{}", tunnel::inside(peer));
    let body = if method == Method::GET { vec![] } else { body.to_string().into_bytes() };
    ask_by(config, method, &base, path, &[(CONTENT_TYPE.as_str(), "application/json")], body)
}

fn ask_by(
    config: ClientConfig,
    method: Method,
    base: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer> {
    let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::from(body))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = HttpClient::new(config, ());
    let response =
        runtime.block_on(client.send(request)).with_context(|| format!("asking {base}{path}"))?;
    let problem = ReceivedProblem::from_response(&response).slug().to_owned();
    let (parts, body) = response.into_parts();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, problem })
}

/// The present moment.
#[must_use]
pub fn now() -> UnixTime {
    SystemClock.now()
}

fn post(
    base: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &impl serde::Serialize,
) -> Result<Answer> {
    let mut all = vec![(CONTENT_TYPE.as_str(), "application/json")];
    all.extend(headers);
    ask(Method::POST, base, path, &all, serde_json::to_vec(body)?)
}
