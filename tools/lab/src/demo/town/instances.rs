//! Towns whose services keep their rows in databases of a server, and more than one instance of a service.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Result;

use super::{START, Town};
use crate::demo::http;
use crate::demo::process::Process;

impl Town {
    /// Services that keep their rows in these databases rather than in files of their own: each by its URL. To be said before the town
    /// opens.
    #[must_use]
    pub fn with_databases(
        mut self,
        databases: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        self.databases.extend(databases);
        self
    }

    /// Starts one more instance of a service, which has its database and its state directory in common with the first, and waits until it is up.
    /// Gives where it listens.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn another(&mut self, service: &'static str) -> Result<SocketAddr> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let name = format!("another-{}", self.others.len());
        let (home, log) = (self.home(service), format!("log-{name}"));
        let mut command = self.serving(service, address, &log)?;
        let errors = home.join(format!("errors-{name}"));
        let process = Process::start(service, &mut command, errors, None)?;
        let mut process = process.logging(home.join(log));
        process.wait_until(START, || {
            http::get(address, "/health").is_ok_and(|(status, _)| status == 200)
        })?;
        self.others.push((service, process));
        Ok(address)
    }
}
