//! A command's end: requests with the operator's token and name.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use coarse::SecretText;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::{BaseUrl, ClientConfig, ClientError, CouldNotTry, HttpClient};
use trail::Operator;
use zeroize::Zeroizing;

use crate::{OPERATOR, token_file};

/// A kind of service, by where it is when nothing else is said.
pub trait Home: Clone + Send + Sync + 'static {
    /// The URL.
    const URL: &'static str;
}

/// How to reach the service.
#[derive(Args, Clone, Debug)]
pub struct Connection<H: Home> {
    /// Where the service is.
    #[arg(long, default_value = H::URL)]
    url: BaseUrl,
    /// The file with the operator's token; `operator.token` in the state directory when not given.
    #[arg(long, value_name = "FILE")]
    operator_token: Option<PathBuf>,
    /// Prints one line of JSON.
    #[arg(long)]
    pub json: bool,
    #[arg(skip)]
    home: PhantomData<H>,
}

/// Who asks, and where the token is.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The service's state directory.
    pub state: &'a Path,
    /// Who.
    pub operator: &'a Operator,
}

impl<H: Home> Connection<H> {
    /// What the service answers to a request without a body.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn get<A: DeserializeOwned>(
        &self,
        asker: Asker<'_>,
        path: &str,
    ) -> anyhow::Result<A> {
        self.ask::<(), A>(asker, Method::GET, path, None).await
    }

    /// What the service answers to `body`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn post<A: DeserializeOwned>(
        &self,
        asker: Asker<'_>,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<A> {
        self.ask(asker, Method::POST, path, Some(body)).await
    }

    /// What the service answers to an act that needs no further word.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn act<A: DeserializeOwned>(
        &self,
        asker: Asker<'_>,
        path: &str,
    ) -> anyhow::Result<A> {
        self.ask::<(), A>(asker, Method::POST, path, None).await
    }

    /// What the service answers.
    ///
    /// # Errors
    /// The service's problem; [`CouldNotTry`] when it can't be asked.
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        asker: Asker<'_>,
        method: Method,
        path: &str,
        body: Option<&Q>,
    ) -> anyhow::Result<A> {
        let mut request = Request::builder().method(method).uri(self.url.join(path)?);
        request = request.header(AUTHORIZATION, self.bearer(asker.state)?);
        request = request.header(OPERATOR, name(asker.operator)?);
        let request = match body {
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(Bytes::from(serde_json::to_vec(body)?)),
            None => request.body(Bytes::new()),
        }?;
        let client = HttpClient::new(ClientConfig::default(), ());
        let answer = client.send(request).await.map_err(|error| match error {
            ClientError::Unreachable(_)
            | ClientError::PlainOffLoopback
            | ClientError::Unsupported => {
                anyhow::Error::new(error).context(CouldNotTry("the service can't be asked"))
            }
            error => error.into(),
        })?;
        Ok(service::parse(&answer)?)
    }

    fn bearer(&self, state: &Path) -> anyhow::Result<HeaderValue> {
        const UNREADABLE: CouldNotTry = CouldNotTry(
            "the operator's token can't be read: it is made when the service first starts",
        );
        let path = self.operator_token.clone().unwrap_or_else(|| token_file(state));
        let token = std::fs::read_to_string(path).context(UNREADABLE)?;
        let token = SecretText::new(token);
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose().trim_end()));
        let mut value = HeaderValue::from_str(&bearer).context(UNREADABLE)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn name(operator: &Operator) -> anyhow::Result<HeaderValue> {
    const WRONG: CouldNotTry = CouldNotTry("the operator's name must be visible ASCII characters");
    HeaderValue::from_str(&operator.label()).context(WRONG)
}
