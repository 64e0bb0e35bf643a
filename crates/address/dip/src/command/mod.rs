//! The operator's commands: requests to the running service.

mod change;
mod lease;
mod list;
mod place;
mod publish;

pub(crate) use change::{AlterArguments, ImportArguments, MoveArguments, TidyArguments, tidy};
pub(crate) use lease::{ComplaintArguments, LeaseCommand, ReportArguments};
pub(crate) use list::{ListArguments, StatusArguments};
pub(crate) use place::{GatewayCommand, KeysCommand, RegionCommand};
pub(crate) use publish::{ForecastArguments, GeofeedArguments, ZoneArguments};

use operating::{Asker, Home};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The DIP service.
#[derive(Clone, Debug)]
pub(crate) struct AtDip;

impl Home for AtDip {
    const URL: &'static str = "http://127.0.0.1:3003";
}

pub(crate) type Connection = operating::Connection<AtDip>;

/// A connection with whoever asks.
struct Service<'a> {
    connection: &'a Connection,
    asker: Asker<'a>,
}

impl<'a> Service<'a> {
    const fn of(connection: &'a Connection, asker: Asker<'a>) -> Self {
        Self { connection, asker }
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> anyhow::Result<A> {
        self.connection.get(self.asker, path).await
    }

    async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<A> {
        self.connection.post(self.asker, path, body).await
    }
}

/// Tells a person how far long work has come.
fn progress(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    // Nobody may be looking.
    let _ = writeln!(std::io::stderr(), "{line}");
}
