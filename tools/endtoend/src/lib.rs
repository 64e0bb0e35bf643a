//! Support for the tests that run against a whole provider, each of its services a process.
//!
//! - [`scene`]: a provider that is up, for one test or for all of a test program;
//! - [`services`]: asking each service by hand, over HTTP;
//! - [`customer`]: a person's side, honest step by step, out of the client's own parts;
//! - [`evidence`]: what a service stored (a copy of its database) and received (its recording);
//! - [`rows`]: everything that all services stored, before and after;
//! - [`keys`]: the services' own keys, to sign what only a service could have signed;
//! - [`program`]: the `cloakroom` program, and what came of a command;
//! - [`raw`]: bytes to a service as no client would send them;
//! - [`rogue`]: a service that lies;
//! - [`dropping`]: somebody between two services who drops what goes by;
//! - [`tunnel`]: through a gateway to a web server.
//!
//! Nothing here is part of what is shipped. It reaches both sides of the wall because it plays the customers
//! and looks at every service's disk.

pub mod customer;
pub mod dropping;
pub mod evidence;
pub mod keys;
pub mod program;
pub mod raw;
pub mod rogue;
pub mod rows;
pub mod scene;
pub mod services;
pub mod tunnel;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// Tries until it succeeds.
///
/// # Errors
/// The last failure, when time is up.
pub fn eventually<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                bail!("still not so after {PATIENCE:?}: {error:#}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
