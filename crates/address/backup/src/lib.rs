//! The backup service: keeps what it can't read, for whoever it can't name.
//!
//! A backup is a refresh token that is sealed under a customer's Access Code. The service knows of it where it lies, and of nobody who
//! reads or writes anything. Whoever asks for a place without a backup gets bytes that look like one, always the same for that place: only who
//! has the code can tell. All reads together have one low rate, which bounds how fast codes can be tried.
//!
//! - [`Decoy`]: what is answered where there is nothing;
//! - [`store`]: what is kept;
//! - [`Backups`] and [`router`]: the HTTP interface over these;
//! - [`main`]: the program.

mod decoy;
mod measure;
mod program;
mod routes;
pub mod store;
mod table;

pub use decoy::{Decoy, DecoyError};
pub use measure::Measures;
pub use program::main;
pub use routes::{Backups, router};
pub use table::{DESCRIPTION, ROUTES};

use std::num::NonZero;
use std::time::Duration;

/// How many backups are kept at most, unless the operator says otherwise: some 5 GB.
pub const CAPACITY: NonZero<u32> = match NonZero::new(1_000_000) {
    Some(capacity) => capacity,
    None => NonZero::<u32>::MIN,
};

/// The week at whose start a backup that is written `now` is forgotten: the refresh token in it has ended by then.
#[must_use]
pub const fn end(now: coarse::UnixTime) -> coarse::Week {
    const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);
    now.plus(backup_api::LIFE).plus(GRACE).week().next()
}
