//! What the enclave asks the software security module, and the answers: over a stream that the process which started it
//! hands it, or over vsock. On Nitro the module is the hypervisor's and these messages aren't used.

use zeroize::Zeroizing;

use crate::frame::Message;

/// What the enclave asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Sign an attestation document with these fields.
    Attest {
        /// The key that clients seal to.
        public_key: Vec<u8>,
        /// The hash of configuration and minting key.
        user_data: Vec<u8>,
        /// The asker's nonce.
        nonce: Vec<u8>,
    },
    /// Wrap a secret so that only the same measured program gets it back.
    Wrap {
        /// The secret.
        secret: Zeroizing<Vec<u8>>,
    },
    /// Unwrap what was wrapped before.
    Unwrap {
        /// The wrapped secret.
        wrapped: Vec<u8>,
    },
}

/// What the module answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The document.
    Document(Vec<u8>),
    /// The wrapped secret.
    Wrapped(Vec<u8>),
    /// The secret.
    Secret(Zeroizing<Vec<u8>>),
    /// The module can't, or won't.
    Refused,
}

impl Message for Request {
    fn parts(&self) -> (u8, Vec<&[u8]>) {
        match self {
            Self::Attest { public_key, user_data, nonce } => {
                (1, vec![public_key, user_data, nonce])
            }
            Self::Wrap { secret } => (2, vec![secret]),
            Self::Unwrap { wrapped } => (3, vec![wrapped]),
        }
    }

    fn from_parts(kind: u8, fields: Vec<Vec<u8>>) -> Option<Self> {
        let mut fields = fields.into_iter();
        let request = match kind {
            1 => Self::Attest {
                public_key: fields.next()?,
                user_data: fields.next()?,
                nonce: fields.next()?,
            },
            2 => Self::Wrap { secret: Zeroizing::new(fields.next()?) },
            3 => Self::Unwrap { wrapped: fields.next()? },
            _ => return None,
        };
        fields.next().is_none().then_some(request)
    }
}

impl Message for Answer {
    fn parts(&self) -> (u8, Vec<&[u8]>) {
        match self {
            Self::Document(bytes) => (129, vec![bytes]),
            Self::Wrapped(bytes) => (130, vec![bytes]),
            Self::Secret(bytes) => (131, vec![bytes]),
            Self::Refused => (192, vec![]),
        }
    }

    fn from_parts(kind: u8, fields: Vec<Vec<u8>>) -> Option<Self> {
        let mut fields = fields.into_iter();
        let answer = match kind {
            129 => Self::Document(fields.next()?),
            130 => Self::Wrapped(fields.next()?),
            131 => Self::Secret(Zeroizing::new(fields.next()?)),
            192 => Self::Refused,
            _ => return None,
        };
        fields.next().is_none().then_some(answer)
    }
}
