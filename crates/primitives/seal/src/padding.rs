//! Padding to a fixed size.

use zeroize::Zeroizing;

use crate::Error;

const PREFIX: usize = 2;

/// `len(plaintext)` as two bytes, the plaintext, zeros: `size` bytes in all.
pub(crate) fn pad(plaintext: &[u8], size: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let length = u16::try_from(plaintext.len()).map_err(|_| Error::TooLong)?;
    if plaintext.len() + PREFIX > size {
        return Err(Error::TooLong);
    }
    let mut padded = Zeroizing::new(Vec::with_capacity(size));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(plaintext);
    padded.resize(size, 0);
    Ok(padded)
}

/// What [`pad`] was given; refuses a length that lies and padding that isn't zero.
pub(crate) fn unpad(padded: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (prefix, rest) = padded.split_first_chunk::<PREFIX>().ok_or(Error::Unopenable)?;
    let (plaintext, zeros) =
        rest.split_at_checked(usize::from(u16::from_be_bytes(*prefix))).ok_or(Error::Unopenable)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(Error::Unopenable);
    }
    Ok(Zeroizing::new(plaintext.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lies_are_refused() {
        assert_eq!(unpad(&[0]).unwrap_err(), Error::Unopenable);
        assert_eq!(unpad(&[0, 2, 9]).unwrap_err(), Error::Unopenable);
        assert_eq!(unpad(&[0, 1, 9, 1]).unwrap_err(), Error::Unopenable);
        assert_eq!(pad(&[1; 7], 8).unwrap_err(), Error::TooLong);
    }

    proptest! {
        #[test]
        fn what_is_padded_comes_back(plaintext in proptest::collection::vec(any::<u8>(), 0..200)) {
            let padded = pad(&plaintext, 256).unwrap();
            prop_assert_eq!(padded.len(), 256);
            prop_assert_eq!(unpad(&padded).unwrap().to_vec(), plaintext);
        }
    }
}
