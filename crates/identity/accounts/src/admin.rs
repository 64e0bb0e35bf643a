//! The operator's commands: HTTP to a running service.

use std::io::Write as _;

use accounts_api::{
    ACCOUNTS, CreateAccount, CreatedAccount, Reset, SUBSCRIPTION, SubscriptionView,
};
use clap::{Args, Subcommand};
use http::Method;
use operating::{Asker, Home, print};
use receipt::{SubscriptionId, SubscriptionVersion};
use serde::Serialize;

/// The accounts service.
#[derive(Clone, Debug)]
pub(crate) struct AtAccounts;

impl Home for AtAccounts {
    const URL: &'static str = "http://127.0.0.1:3004";
}

type Connection = operating::Connection<AtAccounts>;

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
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let Self::Create { entitlements, connection } = self;
        let request = CreateAccount { account: None, entitlements };
        let made: CreatedAccount = connection.post(asker, ACCOUNTS, &request).await?;
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
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let (one, view) = match self {
            Self::Show { one } => {
                let view = one.look(asker).await?;
                (one, view)
            }
            Self::Refund { one } => {
                let view = one.ask::<()>(asker, Method::POST, "/refund", None).await?;
                (one, view)
            }
            Self::Reset { one, from } => {
                let from = match from {
                    Some(number) => SubscriptionVersion::new(number),
                    None => one.look(asker).await?.version,
                };
                let view = one.ask(asker, Method::POST, "/reset", Some(&Reset { from })).await?;
                (one, view)
            }
        };
        print(&view, one.connection.json)
    }
}

impl One {
    async fn look(&self, asker: Asker<'_>) -> anyhow::Result<SubscriptionView> {
        self.ask::<()>(asker, Method::GET, "", None).await
    }

    async fn ask<Q: Serialize>(
        &self,
        asker: Asker<'_>,
        method: Method,
        under: &str,
        body: Option<&Q>,
    ) -> anyhow::Result<SubscriptionView> {
        let path = SUBSCRIPTION.replace("{id}", &self.id.to_hex()) + under;
        self.connection.ask(asker, method, &path, body).await
    }
}
