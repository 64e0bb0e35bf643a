//! Who mints: the enclave, behind its parent.

use enclave_watch::{AttestError, Attestor, ParentAttestor};
use encoding::Base64Url;
use jws::{Compact, KeySet};
use service::{BaseUrl, ClientError, HttpClient, Tap};
use wire::envelope::{ANSWER_OVERHEAD, ANSWER_SIZE};
use wire::http::{GENERATE_TOKENS, MintRequest, MintResponse, REFRESH_TOKENS};

/// The enclave as the DIP service sees it.
pub trait Enclave: Attestor {
    /// Has tokens minted on a signed order for a sealed request. The same order may come again.
    fn mint(
        &self,
        what: MintFor,
        order: Compact,
        sealed: Base64Url,
    ) -> impl Future<Output = Result<Minted, MintError>> + Send;
}

/// What tokens are minted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintFor {
    /// A first assignment, on a [`lease::Order`].
    Assignment,
    /// A refresh, on a [`lease::ExtensionOrder`].
    Refresh,
}

/// What the enclave answers.
#[derive(Clone, Debug)]
pub struct Minted {
    /// Its signed grant, not yet verified; nothing when it refused.
    pub grant: Option<Compact>,
    /// The sealed answer: always of one size.
    pub sealed: Base64Url,
}

/// Why the enclave did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The request is sealed to another key than the enclave's present one.
    #[error("the request is sealed to another key than the enclave's present one")]
    OtherKey,
    /// The sealed request doesn't open.
    #[error("the sealed request does not open")]
    Unopenable,
    /// It doesn't take this service's orders.
    #[error("the enclave does not take orders signed with this service's key")]
    Order,
    /// It can't be reached, isn't booted, or answers nonsense.
    #[error("the enclave is not available")]
    Unavailable,
}

/// The enclave behind its parent's HTTP interface.
#[derive(Clone)]
pub struct ParentEnclave<T: Tap = ()> {
    client: HttpClient<T>,
    parent: BaseUrl,
    attestor: ParentAttestor<T>,
}

impl<T: Tap> ParentEnclave<T> {
    /// Minting at `parent`, attestation by `attestor`.
    #[must_use]
    pub const fn new(client: HttpClient<T>, parent: BaseUrl, attestor: ParentAttestor<T>) -> Self {
        Self { client, parent, attestor }
    }
}

impl<T: Tap> Attestor for ParentEnclave<T> {
    async fn minting_keys(&self) -> Result<KeySet, AttestError> {
        self.attestor.minting_keys().await
    }
}

impl<T: Tap> Enclave for ParentEnclave<T> {
    async fn mint(
        &self,
        what: MintFor,
        order: Compact,
        sealed: Base64Url,
    ) -> Result<Minted, MintError> {
        let path = match what {
            MintFor::Assignment => GENERATE_TOKENS,
            MintFor::Refresh => REFRESH_TOKENS,
        };
        let request = MintRequest { order: order.as_str().to_owned(), sealed };
        let response = self.client.post_json(&self.parent, path, &request).await;
        let answer = response.and_then(|response| service::parse::<MintResponse>(&response));
        let MintResponse { grant, sealed } = answer.map_err(|error| refusal(&error))?;
        if sealed.0.len() != ANSWER_SIZE + ANSWER_OVERHEAD {
            tracing::error!("the enclave's answer is not of the one size");
            return Err(MintError::Unavailable);
        }
        Ok(Minted { grant: grant.map(Compact::new), sealed })
    }
}

fn refusal(error: &ClientError) -> MintError {
    if let ClientError::Problem(problem) = error {
        match problem.slug() {
            "enclave-key-changed" => return MintError::OtherKey,
            "sealed-request-unopenable" => return MintError::Unopenable,
            "order-refused" => {
                tracing::error!("the enclave's boot configuration doesn't name this service's key");
                return MintError::Order;
            }
            _ => {}
        }
    }
    tracing::warn!(%error, "the enclave's parent gives no answer");
    MintError::Unavailable
}
