//! Where keys are kept.

use std::io;
use std::path::PathBuf;

use blind_rsa::RawSigner;
use coarse::Epoch;
use epoch_keys::{Purpose, TreePin};

/// Keeps one private key per purpose and epoch, and what was committed to. A local directory today; a
/// PKCS#11 module or a cloud's key service fit behind it. Its methods block.
pub trait KeyStore: Send + Sync + 'static {
    /// The trees that were committed to, one per purpose at most.
    fn committed(&self) -> Result<Vec<Committed>, KeyStoreError>;

    /// The epochs whose private keys (or remains of them) are there.
    fn held(&self) -> Result<Vec<(Purpose, Epoch)>, KeyStoreError>;

    /// What signs with a private key; `None` when the key is not there or was erased.
    fn signer(
        &self,
        purpose: Purpose,
        epoch: Epoch,
    ) -> Result<Option<Box<dyn RawSigner>>, KeyStoreError>;

    /// Destroys a private key for good. One that is gone already is fine.
    fn erase(&self, purpose: Purpose, epoch: Epoch) -> Result<(), KeyStoreError>;
}

/// The public keys of a purpose, as they were committed to.
pub struct Committed {
    /// Purpose, first epoch and root.
    pub pin: TreePin,
    /// The keys as SPKI (342 bytes each), from the first epoch on.
    pub spkis: Vec<Vec<u8>>,
}

/// Why a key store doesn't do what it should.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The file system refused.
    #[error("{0} can't be read or written")]
    Io(PathBuf, #[source] io::Error),
    /// A file isn't what was written: restore it from a backup (of public files), or live without (private ones).
    #[error("{0} is damaged")]
    Damaged(PathBuf),
    /// Keys of this purpose exist, and clients may have pinned them.
    #[error("there are keys for {0} already: they are never overwritten")]
    Exists(Purpose),
    /// Another process generates keys here.
    #[error("another process is generating keys here")]
    Busy,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<store::SecretFileError> for KeyStoreError {
    fn from(error: store::SecretFileError) -> Self {
        match error {
            store::SecretFileError::Io(path, error) => Self::Io(path, error),
            store::SecretFileError::Damaged(path, _) => Self::Damaged(path),
            _ => Self::Library,
        }
    }
}
