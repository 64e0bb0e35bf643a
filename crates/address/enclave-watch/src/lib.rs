//! What the address side's services believe: a provider's file, and the enclave that fits it.
//!
//! The DIP service checks grants and the gateway checks access tokens with keys that only the enclave holds.
//! Both take these keys from a verified attestation and from nowhere else:
//! - [`load_provider`] reads the file that pins the enclave;
//! - an [`Attestor`] asks and verifies once; [`ParentAttestor`] does so through the enclave's parent;
//! - an [`EnclaveWatch`] keeps asking: until the enclave is up, then hourly, and when something comes
//!   signed by a key that it doesn't know.

mod parent;
mod provider;
mod watch;

pub use parent::{AttestError, ParentAttestor};
pub use provider::load_provider;
pub use watch::{Attestor, EnclaveWatch, Unverified};
