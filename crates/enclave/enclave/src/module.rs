//! The machine, as the enclave sees it: a security module that attests, and a source that keeps its minting key.

use std::sync::Mutex;

use wire::frame::Message;
use wire::module::{Answer, Request};
use zeroize::Zeroizing;

use crate::Stream;

/// Why the module, or the key source, gave nothing.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModuleError {
    /// It doesn't answer, or answers what wasn't asked.
    #[error("the security module does not answer")]
    Silent,
    /// It refuses.
    #[error("the security module refuses")]
    Refused,
    /// More than it takes.
    #[error("the request is longer than the security module takes")]
    TooLong,
    /// It isn't one that can be relied on.
    #[error("the security module is of a kind that is not known here")]
    Unknown,
}

/// What attests to the enclave, and with it tells the time.
pub trait SecurityModule: Send + Sync {
    /// A signed attestation document with these fields; an empty one is left out.
    ///
    /// # Errors
    /// [`ModuleError`].
    fn attest(
        &self,
        public_key: &[u8],
        user_data: &[u8],
        nonce: &[u8],
    ) -> Result<Vec<u8>, ModuleError>;
}

/// What gives a key that it wrapped back to the same measured program only. The parent keeps the wrapped key.
pub trait KeySource: Send + Sync {
    /// Wraps a secret for the parent to keep; nothing at all from a source that keeps nothing.
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

/// A module and a key source that have nothing to do with each other.
pub struct Machine<M, K> {
    /// What attests.
    pub module: M,
    /// What keeps the minting key.
    pub keys: K,
}

impl<M: SecurityModule, K: Send + Sync> SecurityModule for Machine<M, K> {
    fn attest(
        &self,
        public_key: &[u8],
        user_data: &[u8],
        nonce: &[u8],
    ) -> Result<Vec<u8>, ModuleError> {
        self.module.attest(public_key, user_data, nonce)
    }
}

impl<M: Send + Sync, K: KeySource> KeySource for Machine<M, K> {
    fn wrap(&self, secret: &[u8]) -> Result<Vec<u8>, ModuleError> {
        self.keys.wrap(secret)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ModuleError> {
        self.keys.unwrap(wrapped)
    }
}

/// The source that keeps nothing: keys live and die with the enclave that made them.
pub struct Unkept;

impl KeySource for Unkept {
    fn wrap(&self, _: &[u8]) -> Result<Vec<u8>, ModuleError> {
        Ok(Vec::new())
    }

    fn unwrap(&self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, ModuleError> {
        Err(ModuleError::Refused)
    }
}

/// A software module, which is a key source, too, at the other end of a stream.
pub struct StreamModule(Mutex<Stream>);

impl StreamModule {
    /// The module behind `stream`.
    #[must_use]
    pub const fn new(stream: Stream) -> Self {
        Self(Mutex::new(stream))
    }

    fn ask(&self, request: &Request) -> Result<Answer, ModuleError> {
        let mut stream = self.0.lock().map_err(|_| ModuleError::Silent)?;
        request.write_to(&mut *stream).map_err(|_| ModuleError::Silent)?;
        Answer::read_from(&mut *stream).ok().flatten().ok_or(ModuleError::Silent)
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
            other => Err(unexpected(&other)),
        }
    }
}

impl KeySource for StreamModule {
    fn wrap(&self, secret: &[u8]) -> Result<Vec<u8>, ModuleError> {
        match self.ask(&Request::Wrap { secret: Zeroizing::new(secret.to_vec()) })? {
            Answer::Wrapped(wrapped) => Ok(wrapped),
            other => Err(unexpected(&other)),
        }
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ModuleError> {
        match self.ask(&Request::Unwrap { wrapped: wrapped.to_vec() })? {
            Answer::Secret(secret) => Ok(secret),
            other => Err(unexpected(&other)),
        }
    }
}

const fn unexpected(answer: &Answer) -> ModuleError {
    match answer {
        Answer::Refused => ModuleError::Refused,
        _ => ModuleError::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Module;

    impl SecurityModule for Module {
        fn attest(&self, key: &[u8], data: &[u8], nonce: &[u8]) -> Result<Vec<u8>, ModuleError> {
            Ok([key, data, nonce].concat())
        }
    }

    #[test]
    fn a_machine_attests_by_its_module_and_keeps_keys_by_its_source() {
        let machine = Machine { module: Module, keys: Unkept };
        assert_eq!(machine.attest(b"key", b"data", b"nonce"), Ok(b"keydatanonce".to_vec()));
        assert_eq!(machine.wrap(b"secret"), Ok(Vec::new()));
        assert_eq!(machine.unwrap(b"wrapped elsewhere"), Err(ModuleError::Refused));
    }
}
