//! A role's keys and how they rotate with overlap.
//!
//! ```text
//!            prepare            activate              retire
//! (nothing) ─────────► next ───────────────► current ────────┐
//!                      published, signs      signs           │ the key after it is activated
//!                      nothing yet                           ▼
//!                                        (gone) ◄──────── former: accepted until its last token ended
//! ```
//!
//! - [`Ring`] holds the keys and the rules of time; it does no I/O.
//! - [`RingFile`] keeps a ring in one file that is replaced whole, so that a step is done or not, whenever a crash comes.
//! - [`LiveSigner`] and [`LiveKeys`] are what a running service signs and verifies with: a change of the file counts within a second.
//! - [`KeysCommand`] is `keys list|prepare|activate|retire`, the same for every role.

mod command;
mod file;
mod live;
mod ring;

pub use command::{KeysCommand, Role, run, run_signing};
pub use file::{RingError, RingFile};
pub use live::{LiveKeys, LiveSigner};
pub use ring::{Fresh, Key, Refused, Ring, Rules, Standing};

/// Where a service that signs publishes its keys (RFC 7517).
pub const JWKS: &str = "/.well-known/jwks.json";
/// The media type of what is there (RFC 7517 section 8.5.2).
pub const JWKS_TYPE: &str = "application/jwk-set+json";
