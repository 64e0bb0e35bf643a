//! One server for all tests of a test program.

use std::sync::OnceLock;

use anyhow::{Result, anyhow};

use crate::{Cluster, Options};

/// The server that all tests of this process share, started by the first who asks, with its files in memory. Each test takes a
/// [`Database`](crate::Database) of its own; nobody may stop the server or change its settings.
///
/// # Errors
/// When PostgreSQL isn't installed, or doesn't start.
pub fn shared() -> Result<&'static Cluster> {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let options = || Options { in_memory: true, ..Options::default() };
    let started =
        SHARED.get_or_init(|| Cluster::start(options()).map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|error| anyhow!("{error}"))
}
