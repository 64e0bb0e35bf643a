//! The client's conversations with the services.
//!
//! A [`Session`] drives a wallet through its states over HTTP: it sends only what is on disk already, says in plain
//! words what it checked, and goes no further when a check fails. Every step may be repeated.
//!
//! What goes to the identity side (accounts, blind token service) and what goes to the address side (enclave, DIP service,
//! gateway, backup service) never travels on one connection, and nothing of the one is ever sent to the other but sealed to the enclave.

mod account;
mod assign;
mod backup;
mod connect;
mod devices;
mod draw;
mod enclave;
mod error;
mod narrate;
mod restore;
mod session;
mod trust;

pub use backup::{BackupCode, BackupStatus};
pub use connect::{Connected, TunnelPlan};
pub use devices::InsideTunnel;
pub use enclave::Attestation;
pub use error::{Error, Remedy};
pub use narrate::{Narrator, Silent};
pub use session::{Session, SessionConfig};
pub use trust::TrustView;
