//! One file a command.

pub(crate) mod account;
pub(crate) mod attestation;
pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod dip;
pub(crate) mod input;
pub(crate) mod provider;
pub(crate) mod restore;
pub(crate) mod trust;

use std::path::PathBuf;
use std::sync::Arc;

use coarse::SystemClock;
use session::{Session, SessionConfig};

use crate::arguments::Global;
use crate::output::{Failure, Terminal};

/// The wallet's directory.
pub(crate) fn home(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(home) = &global.home {
        return Ok(home.clone());
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("cloakroom"))
        .ok_or_else(|| {
            Failure::usage("there is no home directory; say where the wallet is with --home")
        })
}

/// The session that the global options describe.
pub(crate) fn session(global: &Global) -> Result<Session, Failure> {
    Ok(Session::open(SessionConfig {
        home: home(global)?,
        source: global.source,
        clock: Arc::new(SystemClock),
        narrator: Arc::new(Terminal { quiet: global.quiet }),
    })?)
}
