//! The Access Code, and the backup of a lease under it.
//!
//! Whoever holds an Access Code and can log in to the account takes the lease to another device. The code is stretched with the
//! account's salt (Argon2id) into one secret, and by separate labels out of that come the key that seals the backup and the
//! key that writes it, whose hash is its place at the backup service. The formats are in `docs/spec/backup.md`.
//!
//! - [`AccessCode`]: generated, chosen by a person, or entered again;
//! - [`BackupKeys`]: what comes of a code and a salt; seals, opens, and signs requests;
//! - [`Contents`]: what is backed up.
//!
//! Pure: no I/O, and what is random is a parameter. [`BackupKeys::derive`] takes 64 MiB and a good part of a second.

mod code;
mod contents;
mod derive;
mod keys;
mod strength;

pub use code::{AccessCode, ChosenError, EnteredError, LONGEST};
pub use contents::Contents;
pub use derive::DeriveError;
pub use keys::{BackupKeys, OpenError, SealError};
