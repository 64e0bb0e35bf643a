//! The security module, as the enclave sees it.

use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use wire::frame::Message;
use wire::module::{Answer, Request};
use zeroize::Zeroizing;

/// The module doesn't answer, or refuses.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the security module does not answer, or refuses")]
pub struct ModuleError;

/// What the enclave needs of the machine it runs on: attestation (and with it, time), and a source that gives a
/// wrapped key back to the same measured program only.
pub trait SecurityModule: Send + Sync {
    /// A signed attestation document with these fields.
    ///
    /// # Errors
    /// [`ModuleError`].
    fn attest(
        &self,
        public_key: &[u8],
        user_data: &[u8],
        nonce: &[u8],
    ) -> Result<Vec<u8>, ModuleError>;

    /// Wraps a secret for the parent to keep.
    ///
    /// # Errors
    /// [`ModuleError`].
    fn wrap(&self, secret: &[u8]) -> Result<Vec<u8>, ModuleError>;

    /// Gives a wrapped secret back.
    ///
    /// # Errors
    /// [`ModuleError`]: also for what another program wrapped.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ModuleError>;
}

/// A module at the other end of a stream.
pub struct StreamModule(Mutex<UnixStream>);

impl StreamModule {
    /// The module behind `stream`.
    #[must_use]
    pub const fn new(stream: UnixStream) -> Self {
        Self(Mutex::new(stream))
    }

    fn ask(&self, request: &Request) -> Result<Answer, ModuleError> {
        let mut stream = self.0.lock().map_err(|_| ModuleError)?;
        request.write_to(&mut *stream).map_err(|_| ModuleError)?;
        Answer::read_from(&mut *stream).ok().flatten().ok_or(ModuleError)
    }
}

impl SecurityModule for StreamModule {
    fn attest(
        &self,
        public_key: &[u8],
        user_data: &[u8],
        nonce: &[u8],
    ) -> Result<Vec<u8>, ModuleError> {
        let request = Request::Attest {
            public_key: public_key.to_vec(),
            user_data: user_data.to_vec(),
            nonce: nonce.to_vec(),
        };
        match self.ask(&request)? {
            Answer::Document(document) => Ok(document),
            _ => Err(ModuleError),
        }
    }

    fn wrap(&self, secret: &[u8]) -> Result<Vec<u8>, ModuleError> {
        match self.ask(&Request::Wrap { secret: Zeroizing::new(secret.to_vec()) })? {
            Answer::Wrapped(wrapped) => Ok(wrapped),
            _ => Err(ModuleError),
        }
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ModuleError> {
        match self.ask(&Request::Unwrap { wrapped: wrapped.to_vec() })? {
            Answer::Secret(secret) => Ok(secret),
            _ => Err(ModuleError),
        }
    }
}
