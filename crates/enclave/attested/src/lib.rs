//! Who may be believed.
//!
//! [`Provider`] is `provider.json`, the one file that a client trusts. [`Served`] is what `/attestation` returns;
//! its check against the file is the only way to an [`Attested`] enclave's keys. Clients, gateways and the DIP service all make it.

mod attested;
mod provider;

pub use attested::{AttestationError, Attested, NONCE_LEN, Served};
pub use provider::{EnclavePin, Pcr, Provider, ProviderError, SignedProvider, Update, Urls};
