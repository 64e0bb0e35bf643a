//! The signer's side (RFC 9474 section 4.3).

use rsa_raw::PrivateKey;
use zeroize::Zeroizing;

use crate::public_key::EXPONENT;
use crate::{KeyError, PublicKey};

/// Whoever holds a private key and signs blinded messages with it.
pub trait RawSigner: Send + Sync {
    /// The key that the signatures verify with.
    fn public_key(&self) -> &PublicKey;

    /// `blinded ^ d`, checked before it is returned. `blinded` has as many bytes as the modulus and is
    /// below it.
    fn sign_blinded(&self, blinded: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A signer that computes with aws-lc, in constant time. The private key is wiped on drop.
pub struct AwsLcSigner {
    private: PrivateKey,
    public: PublicKey,
}

impl AwsLcSigner {
    /// A signer with this key, whose exponent must be 65,537.
    pub fn new(private: PrivateKey) -> Result<Self, KeyError> {
        if private.public_exponent() != EXPONENT {
            return Err(KeyError::Exponent);
        }
        let public = PublicKey::from_modulus(&private.public_modulus())?;
        Ok(Self { private, public })
    }

    /// A signer with a fresh key of `bits` bits: 2048 to 4096, a multiple of 128.
    pub fn generate(bits: u32) -> Result<Self, KeyError> {
        Self::new(PrivateKey::generate(bits).map_err(KeyError::of_private)?)
    }

    /// A signer with a key in DER PKCS#8.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::new(PrivateKey::from_pkcs8(der).map_err(KeyError::of_private)?)
    }

    /// The private key in DER PKCS#8, for a key store.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.private.to_pkcs8().map_err(KeyError::of_private)
    }
}

impl RawSigner for AwsLcSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign_blinded(&self, blinded: &[u8]) -> Result<Vec<u8>, SignError> {
        sign_checked(&self.public, blinded, |input| self.private.private_operation(input))
    }
}

/// Runs a private operation and lets its result out only if `result ^ e` is the input again.
///
/// One faulty result of an operation that uses the Chinese remainder theorem gives away the key's
/// factors (Boneh, DeMillo, Lipton 1997). Every [`RawSigner`] goes through here, whatever the library
/// under it checks by itself.
pub fn sign_checked(
    key: &PublicKey,
    blinded: &[u8],
    operation: impl FnOnce(&[u8]) -> Result<Vec<u8>, rsa_raw::Error>,
) -> Result<Vec<u8>, SignError> {
    key.modulus().check(blinded).map_err(|_| SignError::Input)?;
    let result = operation(blinded).map_err(|error| match error {
        rsa_raw::Error::Length | rsa_raw::Error::OutOfRange => SignError::Input,
        _ => SignError::Library,
    })?;
    match key.modulus().pow(&result, EXPONENT) {
        Ok(again) if *again == blinded => Ok(result),
        Err(rsa_raw::Error::Library) => Err(SignError::Library),
        _ => Err(SignError::Fault),
    }
}

impl KeyError {
    const fn of_private(error: rsa_raw::Error) -> Self {
        match error {
            rsa_raw::Error::Library => Self::Library,
            _ => Self::Private,
        }
    }
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The client's blinded message has the wrong length or is out of range (0, 1 and N - 1 are, too).
    #[error("the blinded message is not a number below the key's modulus")]
    Input,
    /// The computation went wrong, by a hardware fault for instance; the result was thrown away.
    #[error("the signature did not verify and was withheld")]
    Fault,
    /// Out of memory, for instance.
    #[error("the cryptographic library failed")]
    Library,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_result_never_leaves() {
        let signer = AwsLcSigner::generate(2048).unwrap();
        let key = signer.public_key();
        let blinded = [0x42; 256];
        let good = signer.sign_blinded(&blinded).unwrap();
        assert_eq!(sign_checked(key, &blinded, |_| Ok(good.clone())), Ok(good.clone()));
        for bit in [0, 1, 1000, 2047] {
            let flipped = |_: &[u8]| {
                let mut result = good.clone();
                result[bit / 8] ^= 0x80 >> (bit % 8);
                Ok(result)
            };
            assert_eq!(sign_checked(key, &blinded, flipped), Err(SignError::Fault), "bit {bit}");
        }
        for result in [vec![0; 256], vec![0xff; 256], good[1..].to_vec(), Vec::new()] {
            assert_eq!(sign_checked(key, &blinded, |_| Ok(result)), Err(SignError::Fault));
        }
        let failing = sign_checked(key, &blinded, |_| Err(rsa_raw::Error::Library));
        assert_eq!(failing, Err(SignError::Library));
    }

    #[test]
    fn the_signer_checks_itself() {
        // Its private half computes soundly, but not what its public half stands for.
        let [one, other] = [0, 1].map(|_| AwsLcSigner::generate(2048).unwrap());
        let torn = AwsLcSigner { private: one.private, public: other.public };
        assert_eq!(torn.sign_blinded(&[0x42; 256]), Err(SignError::Fault));
    }

    #[test]
    fn inputs_out_of_range_are_the_clients_fault() {
        let signer = AwsLcSigner::generate(2048).unwrap();
        let mut minus_one = signer.private.public_modulus();
        minus_one[255] -= 1;
        for input in [&[0; 256][..], &[0xff; 256], &[1; 255], &[1; 257], &[], &minus_one] {
            assert_eq!(signer.sign_blinded(input), Err(SignError::Input));
        }
    }

    #[test]
    fn a_key_survives_its_store() {
        let signer = AwsLcSigner::generate(2048).unwrap();
        let again = AwsLcSigner::from_pkcs8(&signer.to_pkcs8().unwrap()).unwrap();
        assert_eq!(again.public_key(), signer.public_key());
        assert!(AwsLcSigner::from_pkcs8(b"not a key").is_err());
        assert!(AwsLcSigner::generate(1024).is_err());
    }
}
