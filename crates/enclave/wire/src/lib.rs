//! What passes in and out of the enclave.
//!
//! - [`frame`]: how messages are framed, the same over a Unix socket and over vsock;
//! - [`parent`]: what the enclave's parent may ask, and the answers;
//! - [`module`]: what the enclave asks its security module;
//! - [`StreamAddress`]: where such a stream is;
//! - [`BootConfiguration`]: whom the enclave believes; it is measured;
//! - [`http`]: what the parent's HTTP interface takes and gives;
//! - [`envelope`]: names and sizes of the sealed requests and answers.
//!
//! Sealed requests and answers pass through here as bytes: nothing in this crate can open them, and
//! nothing in it names a subscriber or an address.

mod address;
mod boot;
pub mod envelope;
pub mod frame;
pub mod http;
pub mod module;
pub mod parent;

pub use address::{AddressError, HYBRID_WELCOME, StreamAddress, VsockAddress, hybrid_greeting};
pub use boot::BootConfiguration;

/// How long a refresh token lives: so long after it minted last a former minting key is of use.
pub const REFRESH_TOKEN_LIFE: std::time::Duration = std::time::Duration::from_secs(60 * 24 * 3600);
