//! The backup service's messages.
//!
//! | request | answer |
//! |---|---|
//! | `POST /api/v1/backup/read` [`Read`] | [`Found`]: the backup, or bytes that look like one |
//! | `POST /api/v1/backup/write` [`Write`] | [`Written`] |
//! | `POST /api/v1/backup/remove` [`Remove`] | [`Removed`] |
//!
//! A backup is [`BLOB_SIZE`] bytes that nobody but the holder of an Access Code can read. Its [`Locator`] is the hash of the key that
//! writes it, so that each place has one writer from the start: the service compares nothing with what it holds, and answers
//! a writer the same whether there was a backup or not. The formats are in `docs/spec/backup.md`.

mod bytes;
mod signed;

pub use bytes::{Blob, Locator, Signature, WriteKey};
pub use signed::{BadSignature, remove_message, write_message};

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where backups are read.
pub const READ: &str = "/api/v1/backup/read";
/// Where they are written, and written anew.
pub const WRITE: &str = "/api/v1/backup/write";
/// Where they are removed.
pub const REMOVE: &str = "/api/v1/backup/remove";

/// How long what is in a backup can be of use: a refresh token's life. A backup is kept that long after it was written, and some weeks' grace.
pub const LIFE: Duration = Duration::from_secs(60 * 24 * 3600);

/// Bytes of a backup, sealed: one size for all.
pub const BLOB_SIZE: usize = 3072;

/// Wants a backup.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// Where it is (32 bytes).
    #[schema(value_type = String)]
    pub locator: Locator,
}

/// What is at a locator: a backup, or, always the same, bytes that can't be told from one.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Found {
    /// 3,072 bytes.
    #[schema(value_type = String)]
    pub blob: Blob,
}

/// Keeps a backup in place of the former one, at the locator that belongs to the key.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// The Ed25519 key that writes there (32 bytes).
    #[schema(value_type = String)]
    pub write_key: WriteKey,
    /// The backup, sealed (3,072 bytes).
    #[schema(value_type = String)]
    pub blob: Blob,
    /// The key's signature over locator and backup (64 bytes).
    #[schema(value_type = String)]
    pub signature: Signature,
}

/// The backup is kept.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Written {
    /// `true`
    pub written: bool,
}

/// Removes a backup.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// The Ed25519 key that writes there (32 bytes).
    #[schema(value_type = String)]
    pub write_key: WriteKey,
    /// The key's signature over the locator (64 bytes).
    #[schema(value_type = String)]
    pub signature: Signature,
}

/// There is no backup any more.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Removed {
    /// `true`
    pub removed: bool,
}
