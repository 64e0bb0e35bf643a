//! What the enclave's parent may ask, and the answers.

use crate::frame::Message;

/// What a parent may ask: nothing else is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Boot with this configuration; the minting key as the key source wrapped it, or nothing for a new one.
    Boot {
        /// The boot configuration's exact bytes.
        configuration: Vec<u8>,
        /// The wrapped minting key; empty for a new one.
        wrapped_key: Vec<u8>,
        /// Wrapped keys that minted before, and whose tokens are still to be believed.
        former_keys: Vec<Vec<u8>>,
    },
    /// Make a new minting key and wrap it: nothing mints with it before a boot that gives it.
    NewKey,
    /// Attest, with the asker's nonce.
    Attest {
        /// Up to 512 bytes.
        nonce: Vec<u8>,
    },
    /// Mint for an assignment.
    Generate {
        /// An order, as a compact JWS.
        order: Vec<u8>,
        /// The sealed request.
        sealed: Vec<u8>,
    },
    /// Mint for a refresh.
    Refresh {
        /// An extension order, as a compact JWS.
        order: Vec<u8>,
        /// The sealed request.
        sealed: Vec<u8>,
    },
}

/// What the enclave answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Booted, now or before with the same configuration.
    Booted {
        /// The wrapped minting key, to be kept by the parent.
        wrapped_key: Vec<u8>,
        /// Its public key (32 bytes).
        public_key: Vec<u8>,
    },
    /// Attested.
    Attested {
        /// The document.
        document: Vec<u8>,
        /// The boot configuration.
        configuration: Vec<u8>,
        /// The minting public key (32 bytes).
        minting_key: Vec<u8>,
        /// The public keys that minted before (32 bytes each).
        former_keys: Vec<Vec<u8>>,
    },
    /// A new key.
    Key {
        /// The wrapped key, to be kept by the parent.
        wrapped_key: Vec<u8>,
        /// Its public key (32 bytes).
        public_key: Vec<u8>,
    },
    /// Minted.
    Granted {
        /// A grant or an extension, as a compact JWS.
        grant: Vec<u8>,
        /// The sealed answer.
        sealed: Vec<u8>,
    },
    /// Not minted; why is in the sealed answer, for its reader alone.
    Refused {
        /// The sealed answer.
        sealed: Vec<u8>,
    },
    /// Nothing was done, for a reason that says nothing of a request's content.
    Failed(Failure),
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request is none that the enclave knows.
    #[error("the enclave does not know this request")]
    Unknown,
    /// The enclave hasn't been booted.
    #[error("the enclave has no configuration yet")]
    NotBooted,
    /// It was booted with another configuration, or can't use this one.
    #[error("the enclave was booted with another configuration, or cannot use this one")]
    Configuration,
    /// The order isn't one of the DIP service's, or not for this request.
    #[error("the order is not the DIP service's, or not for this request")]
    Order,
    /// The request is sealed to another key: the asker must fetch the present one.
    #[error("the request is sealed to another key")]
    OtherKey,
    /// The sealed request doesn't open, or its content isn't one of its kind.
    #[error("the sealed request does not open")]
    Unopenable,
    /// The security module gave no document, time or key.
    #[error("the security module does not answer")]
    Module,
}

impl Failure {
    const ALL: [Self; 7] = [
        Self::Unknown,
        Self::NotBooted,
        Self::Configuration,
        Self::Order,
        Self::OtherKey,
        Self::Unopenable,
        Self::Module,
    ];
}

impl Message for Request {
    fn parts(&self) -> (u8, Vec<&[u8]>) {
        match self {
            Self::Boot { configuration, wrapped_key, former_keys } => {
                (1, with(&[configuration, wrapped_key], former_keys))
            }
            Self::Attest { nonce } => (2, vec![nonce]),
            Self::Generate { order, sealed } => (3, vec![order, sealed]),
            Self::Refresh { order, sealed } => (4, vec![order, sealed]),
            Self::NewKey => (5, vec![]),
        }
    }

    fn from_parts(kind: u8, fields: Vec<Vec<u8>>) -> Option<Self> {
        let mut fields = fields.into_iter();
        let request = match kind {
            1 => Self::Boot {
                configuration: fields.next()?,
                wrapped_key: fields.next()?,
                former_keys: fields.by_ref().collect(),
            },
            2 => Self::Attest { nonce: fields.next()? },
            3 => Self::Generate { order: fields.next()?, sealed: fields.next()? },
            4 => Self::Refresh { order: fields.next()?, sealed: fields.next()? },
            5 => Self::NewKey,
            _ => return None,
        };
        fields.next().is_none().then_some(request)
    }
}

impl Message for Answer {
    fn parts(&self) -> (u8, Vec<&[u8]>) {
        match self {
            Self::Booted { wrapped_key, public_key } => (129, vec![wrapped_key, public_key]),
            Self::Attested { document, configuration, minting_key, former_keys } => {
                (130, with(&[document, configuration, minting_key], former_keys))
            }
            Self::Granted { grant, sealed } => (131, vec![grant, sealed]),
            Self::Refused { sealed } => (132, vec![sealed]),
            Self::Key { wrapped_key, public_key } => (133, vec![wrapped_key, public_key]),
            Self::Failed(failure) => (192 + *failure as u8, vec![]),
        }
    }

    fn from_parts(kind: u8, fields: Vec<Vec<u8>>) -> Option<Self> {
        let mut fields = fields.into_iter();
        let answer = match kind {
            129 => Self::Booted { wrapped_key: fields.next()?, public_key: fields.next()? },
            130 => Self::Attested {
                document: fields.next()?,
                configuration: fields.next()?,
                minting_key: fields.next()?,
                former_keys: fields.by_ref().collect(),
            },
            131 => Self::Granted { grant: fields.next()?, sealed: fields.next()? },
            132 => Self::Refused { sealed: fields.next()? },
            133 => Self::Key { wrapped_key: fields.next()?, public_key: fields.next()? },
            192.. => Self::Failed(*Failure::ALL.get(usize::from(kind - 192))?),
            _ => return None,
        };
        fields.next().is_none().then_some(answer)
    }
}

/// Fields, and a list after them.
fn with<'a>(fields: &[&'a [u8]], list: &'a [Vec<u8>]) -> Vec<&'a [u8]> {
    fields.iter().copied().chain(list.iter().map(Vec::as_slice)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{FrameError, LONGEST};

    fn through_a_stream<M: Message>(message: &M) -> M {
        let mut stream = Vec::new();
        message.write_to(&mut stream).unwrap();
        let mut reader = stream.as_slice();
        let read = M::read_from(&mut reader).unwrap().unwrap();
        assert!(M::read_from(&mut reader).unwrap().is_none());
        read
    }

    #[test]
    fn messages_pass() {
        let request = Request::Generate { order: vec![1], sealed: vec![] };
        assert_eq!(through_a_stream(&request), request);
        for former_keys in [vec![], vec![vec![3; 32]], vec![vec![3; 32], vec![4; 32]]] {
            let (configuration, wrapped_key) = (b"{}".to_vec(), vec![2; 60]);
            let boot =
                Request::Boot { configuration, wrapped_key, former_keys: former_keys.clone() };
            assert_eq!(through_a_stream(&boot), boot);
            let (document, configuration, minting_key) = (vec![1], b"{}".to_vec(), vec![2; 32]);
            let attested = Answer::Attested { document, configuration, minting_key, former_keys };
            assert_eq!(through_a_stream(&attested), attested);
        }
        for failure in Failure::ALL {
            assert_eq!(through_a_stream(&Answer::Failed(failure)), Answer::Failed(failure));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for body in [
            &[][..],
            &[0],
            &[2],                         // a field too few
            &[2, 0, 0, 0, 0, 0, 0, 0, 0], // a field too many
            &[2, 0, 0, 0, 5, 1],          // a length that lies
            &[2, 255, 255, 255, 255, 1],  // and how
            &[9, 0, 0, 0, 0],             // a kind that isn't on the list
        ] {
            assert_eq!(Request::decode(body), Err(FrameError::Malformed), "{body:?}");
        }
        assert_eq!(Answer::decode(&[250]), Err(FrameError::Malformed));
        let long = Request::Attest { nonce: vec![0; LONGEST] };
        assert_eq!(long.encode(), Err(FrameError::TooLong));
        assert!(Request::read_from(&mut [0, 0, 0, 9, 2].as_slice()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(request) = Request::decode(&body) {
                prop_assert_eq!(&request.encode().unwrap()[4..], &body[..]);
            }
            if let Ok(answer) = Answer::decode(&body) {
                prop_assert_eq!(&answer.encode().unwrap()[4..], &body[..]);
            }
        }

        #[test]
        fn requests_pass(order in any::<Vec<u8>>(), sealed in any::<Vec<u8>>()) {
            let request = Request::Refresh { order, sealed };
            prop_assert_eq!(through_a_stream(&request), request);
        }
    }
}
