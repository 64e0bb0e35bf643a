//! Arithmetic modulo a public, odd modulus.

use aws_lc_sys as c;
use zeroize::Zeroizing;

use crate::inverse::inverse;
use crate::number::{Montgomery, Number, Scratch, done};
use crate::{Error, MODULUS_BITS};

/// A public modulus with what Montgomery multiplication precomputes for it. The numbers that it works
/// on may be secret: time and memory access depend on the modulus and on exponents only.
pub struct Modulus {
    bytes: Vec<u8>,
    number: Number,
    montgomery: Montgomery,
}

impl Modulus {
    /// The modulus with these big-endian bytes: odd, 2048 to 4096 bits, no leading zero byte.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(Error::Modulus);
        };
        let bits = u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(8)
            .saturating_sub(first.leading_zeros());
        if *first == 0 || last % 2 == 0 || !MODULUS_BITS.contains(&bits) {
            return Err(Error::Modulus);
        }
        let number = Number::from_bytes(bytes)?;
        let montgomery = Montgomery::public(&number)?;
        Ok(Self { bytes: bytes.to_vec(), number, montgomery })
    }

    /// Big-endian bytes, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes every number modulo this one has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Whether `number` has the modulus's length and is below it. Time depends on neither's bits.
    pub fn check(&self, number: &[u8]) -> Result<(), Error> {
        if number.len() != self.length() {
            return Err(Error::Length);
        }
        // Subtract from the least significant byte on; a borrow is left over exactly if below.
        let borrow = number.iter().zip(&self.bytes).rev().fold(0u16, |borrow, (a, b)| {
            u16::from(*a).wrapping_sub(u16::from(*b)).wrapping_sub(borrow) >> 15
        });
        if borrow == 1 { Ok(()) } else { Err(Error::OutOfRange) }
    }

    /// `a * b`; both below the modulus.
    pub fn mul(&self, a: &[u8], b: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (a, b) = (self.read(a)?, self.read(b)?);
        let mut scratch = Scratch::new()?;
        let (mut raised, mut product) = (Number::new()?, Number::new()?);
        // One factor goes into Montgomery form; the multiplication takes the product out of it.
        // SAFETY: all pointers are valid, and what is written is ours alone and distinct.
        done(unsafe {
            c::BN_to_montgomery(
                raised.as_mut_ptr(),
                a.as_ptr(),
                self.montgomery.as_ptr(),
                scratch.as_mut_ptr(),
            )
        })?;
        // SAFETY: as above.
        done(unsafe {
            c::BN_mod_mul_montgomery(
                product.as_mut_ptr(),
                raised.as_ptr(),
                b.as_ptr(),
                self.montgomery.as_ptr(),
                scratch.as_mut_ptr(),
            )
        })?;
        product.to_bytes(self.length())
    }

    /// `base ^ exponent`; `base` below the modulus, may be secret; `exponent` is public.
    pub fn pow(&self, base: &[u8], exponent: u32) -> Result<Zeroizing<Vec<u8>>, Error> {
        let base = self.read(base)?;
        let exponent = Number::from_u32(exponent)?;
        let mut scratch = Scratch::new()?;
        let mut power = Number::new()?;
        // SAFETY: all pointers are valid; `power` is ours alone; the modulus is that of `montgomery`.
        done(unsafe {
            c::BN_mod_exp_mont(
                power.as_mut_ptr(),
                base.as_ptr(),
                exponent.as_ptr(),
                self.number.as_ptr(),
                scratch.as_mut_ptr(),
                self.montgomery.as_ptr(),
            )
        })?;
        power.to_bytes(self.length())
    }

    /// `1 / number`; below the modulus, may be secret: it is multiplied by a random number before the
    /// variable-time inversion, and the result again after it. The result is checked.
    pub fn inverse(&self, number: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let hiding = Number::random_below(&self.number)?.to_bytes(self.length())?;
        // Evenly distributed whatever the number is, so that nothing is learnt from how long this takes.
        let hidden = self.mul(number, &hiding)?;
        let inverse = inverse(&hidden, &self.bytes).ok_or(Error::NotInvertible)?;
        let inverse = self.mul(&inverse, &hiding)?;
        match self.mul(&inverse, number)?.split_last() {
            Some((1, zeros)) if zeros.iter().all(|byte| *byte == 0) => Ok(inverse),
            _ => Err(Error::Library),
        }
    }

    fn read(&self, bytes: &[u8]) -> Result<Number, Error> {
        self.check(bytes)?;
        Number::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2^2048 - 1 is odd, and its factors are known: 3, 5, 17, 257...
    fn mersenne_like() -> Modulus {
        Modulus::new(&[0xff; 256]).unwrap()
    }

    fn small(value: u32) -> Vec<u8> {
        let mut bytes = vec![0; 252];
        bytes.extend(value.to_be_bytes());
        bytes
    }

    #[test]
    fn only_odd_moduli_of_the_right_length_are_taken() {
        let good = [0xff; 256];
        assert!(Modulus::new(&good).is_ok());
        assert!(Modulus::new(&[0x81; 512]).is_ok());
        assert!(Modulus::new(&[]).is_err());
        assert!(Modulus::new(&good[1..]).is_err());
        assert!(Modulus::new(&[0xff; 513]).is_err());
        let mut even = good;
        even[255] = 0xfe;
        assert!(Modulus::new(&even).is_err());
        let mut one_bit_short = good;
        one_bit_short[0] = 0x7f;
        assert!(Modulus::new(&one_bit_short).is_err());
        let mut padded = vec![0];
        padded.extend(good);
        assert!(Modulus::new(&padded).is_err());
    }

    #[test]
    fn numbers_must_be_in_range() {
        let modulus = mersenne_like();
        let mut largest = modulus.as_bytes().to_vec();
        assert_eq!(modulus.check(&largest), Err(Error::OutOfRange));
        largest[255] = 0xfe;
        assert_eq!(modulus.check(&largest), Ok(()));
        assert_eq!(modulus.check(&largest[1..]), Err(Error::Length));
        assert_eq!(modulus.mul(&small(1), &[0xff; 256]).unwrap_err(), Error::OutOfRange);
        assert_eq!(modulus.pow(&[0xff; 256], 3).unwrap_err(), Error::OutOfRange);
        assert_eq!(modulus.inverse(&[0xff; 257]).unwrap_err(), Error::Length);
        let odd = Modulus::new(&{
            let mut bytes = [0x80; 256];
            bytes[255] = 0x01;
            bytes
        })
        .unwrap();
        // Smaller in an early byte, larger in all later ones, and the other way round.
        let mut below = vec![0xff; 256];
        below[0] = 0x7f;
        assert_eq!(odd.check(&below), Ok(()));
        let mut above = vec![0; 256];
        above[0] = 0x81;
        assert_eq!(odd.check(&above), Err(Error::OutOfRange));
    }

    #[test]
    fn a_shared_factor_has_no_inverse() {
        // The random blinding shares a factor, too, with this modulus: every answer is the same.
        assert_eq!(mersenne_like().inverse(&small(3)).unwrap_err(), Error::NotInvertible);
        assert_eq!(mersenne_like().inverse(&small(0)).unwrap_err(), Error::NotInvertible);
    }

    #[test]
    fn powers_of_two_wrap_at_2048_bits() {
        let modulus = mersenne_like();
        assert_eq!(*modulus.pow(&small(2), 2048).unwrap(), small(1));
        assert_eq!(*modulus.pow(&small(2), 2051).unwrap(), small(8));
        assert_eq!(*modulus.pow(&small(7), 0).unwrap(), small(1));
        assert_eq!(*modulus.mul(&small(70_000), &small(50_000)).unwrap(), small(3_500_000_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn power_is_repeated_multiplication(bytes in prop::collection::vec(any::<u8>(), 255)) {
            let modulus = mersenne_like();
            let base = [&[0u8][..], &bytes].concat();
            let square = modulus.mul(&base, &base).unwrap();
            let cube = modulus.mul(&square, &base).unwrap();
            prop_assert_eq!(&*modulus.pow(&base, 3).unwrap(), &*cube);
        }
    }
}
