//! The operator's commands: HTTP to a running service.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use accounts_api::{
    ACCOUNTS, CreateAccount, CreatedAccount, OPERATOR, Reset, SUBSCRIPTION, SubscriptionView,
};
use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand};
use coarse::SecretText;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use receipt::{SubscriptionId, SubscriptionVersion};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::{BaseUrl, ClientConfig, ClientError, CouldNotTry, HttpClient};
use trail::Operator;
use zeroize::Zeroizing;

use crate::print::print;

/// How to reach the service.
#[derive(Args)]
pub(crate) struct Connection {
    /// Where the service is.
    #[arg(long, default_value = "http://127.0.0.1:3004")]
    url: BaseUrl,
    /// The file with the operator's token; `operator.token` in the state directory when not given.
    #[arg(long, value_name = "FILE")]
    operator_token: Option<PathBuf>,
    /// Prints one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Makes an account with a subscription, and prints its number: it is shown this once.
    Create {
        /// What is paid for: `vpn.dip` or `vpn.access`; may be given twice.
        #[arg(long = "entitlement", value_name = "NAME", required = true)]
        entitlements: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Subcommand)]
pub(crate) enum SubscriptionCommand {
    /// Shows a subscription.
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Refunds a subscription: it gets no receipts any more.
    Refund {
        #[command(flatten)]
        one: One,
    },
    /// Raises a subscription's version by one, which ends what was drawn with former ones.
    Reset {
        #[command(flatten)]
        one: One,
        /// The version that is to end; the present one when not given. With it the command may be repeated.
        #[arg(long, value_name = "VERSION")]
        from: Option<u32>,
    },
}

/// One subscription, and how to reach the service.
#[derive(Args)]
pub(crate) struct One {
    /// The subscription's id: 32 hexadecimal digits.
    #[arg(value_name = "ID")]
    id: SubscriptionId,
    #[command(flatten)]
    connection: Connection,
}

impl AccountCommand {
    pub(crate) async fn run(self, state: &Path, operator: &Operator) -> anyhow::Result<()> {
        let Self::Create { entitlements, connection } = self;
        let request = CreateAccount { account: None, entitlements };
        let made: CreatedAccount =
            connection.ask(state, operator, Method::POST, ACCOUNTS, Some(&request)).await?;
        if connection.json {
            return print(&made, true);
        }
        let (number, id) = (made.account.grouped(), made.subscription.to_hex());
        let mut out = std::io::stdout();
        writeln!(out, "account       {}\nsubscription  {id}", *number)?;
        Ok(())
    }
}

impl SubscriptionCommand {
    pub(crate) async fn run(self, state: &Path, operator: &Operator) -> anyhow::Result<()> {
        let (one, view) = match self {
            Self::Show { one } => {
                let view = one.look(state, operator).await?;
                (one, view)
            }
            Self::Refund { one } => {
                let view = one.ask::<()>(state, operator, Method::POST, "/refund", None).await?;
                (one, view)
            }
            Self::Reset { one, from } => {
                let from = match from {
                    Some(number) => SubscriptionVersion::new(number),
                    None => one.look(state, operator).await?.version,
                };
                let view =
                    one.ask(state, operator, Method::POST, "/reset", Some(&Reset { from })).await?;
                (one, view)
            }
        };
        print(&view, one.connection.json)
    }
}

impl One {
    async fn look(&self, state: &Path, operator: &Operator) -> anyhow::Result<SubscriptionView> {
        self.ask::<()>(state, operator, Method::GET, "", None).await
    }

    async fn ask<Q: Serialize>(
        &self,
        state: &Path,
        operator: &Operator,
        method: Method,
        under: &str,
        body: Option<&Q>,
    ) -> anyhow::Result<SubscriptionView> {
        let path = SUBSCRIPTION.replace("{id}", &self.id.to_hex()) + under;
        self.connection.ask(state, operator, method, &path, body).await
    }
}

impl Connection {
    /// Where the operator's token is when nothing else is said.
    pub(crate) fn default_token(state: &Path) -> PathBuf {
        state.join("operator.token")
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        state: &Path,
        operator: &Operator,
        method: Method,
        path: &str,
        body: Option<&Q>,
    ) -> anyhow::Result<A> {
        let mut request = Request::builder().method(method).uri(self.url.join(path)?);
        request = request.header(AUTHORIZATION, self.bearer(state)?);
        request = request.header(OPERATOR, label(operator)?);
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
        let path = self.operator_token.clone().unwrap_or_else(|| Self::default_token(state));
        let token = std::fs::read_to_string(path).context(UNREADABLE)?;
        let token = SecretText::new(token);
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose().trim_end()));
        let mut value = HeaderValue::from_str(&bearer).context(UNREADABLE)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn label(operator: &Operator) -> anyhow::Result<HeaderValue> {
    const WRONG: CouldNotTry = CouldNotTry("the operator's name must be visible ASCII characters");
    HeaderValue::from_str(&operator.label()).context(WRONG)
}
