//! The RSA private operation.

use std::ptr::{self, NonNull};

use aws_lc_sys as c;
use zeroize::Zeroizing;

use crate::number::{Montgomery, Number, Scratch, done, failure, owned, padded_bytes};
use crate::{Error, MODULUS_BITS};

/// An RSA private key with its two primes, of 2048 to 4096 bits; wiped when freed.
pub struct PrivateKey {
    rsa: NonNull<c::RSA>,
    modulus: Vec<u8>,
    exponent: u32,
}

// SAFETY: an RSA object has no thread affinity, and this value holds the only reference to it.
unsafe impl Send for PrivateKey {}
// SAFETY: `&self` reaches signing and encoding only, both of which aws-lc's rsa.h declares
// non-mutating for thread-safety: "may be used concurrently" (what signing caches is under a lock).
unsafe impl Sync for PrivateKey {}

impl PrivateKey {
    /// A fresh key of `bits` bits (a multiple of 128) with the exponent 65537. The randomness is
    /// aws-lc's own generator.
    pub fn generate(bits: u32) -> Result<Self, Error> {
        let size = i32::try_from(bits).map_err(|_| Error::Key)?;
        if !MODULUS_BITS.contains(&bits) || !bits.is_multiple_of(128) {
            return Err(Error::Key);
        }
        let exponent = Number::from_u32(65_537)?;
        // SAFETY: no preconditions; null when out of memory.
        let rsa = owned(unsafe { c::RSA_new() })?;
        // SAFETY: `rsa` is ours alone, and no callback is asked for.
        let code = unsafe {
            c::RSA_generate_key_ex(rsa.as_ptr(), size, exponent.as_ptr(), ptr::null_mut())
        };
        // SAFETY: ownership of `rsa` goes over; a half-made key is freed by the failing check.
        let key = unsafe { Self::adopt(rsa) };
        done(code).and(key)
    }

    /// Reads a DER PKCS#8 `PrivateKeyInfo` (RFC 5958) of an `rsaEncryption` key with its primes.
    /// Trailing bytes and inconsistent numbers are [`Error::Key`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let mut input = c::CBS { data: der.as_ptr(), len: der.len() };
        // SAFETY: `input` describes `der`, which outlives the call; null on a parse error.
        let Some(key) = NonNull::new(unsafe { c::EVP_parse_private_key(&raw mut input) }) else {
            return Err(failure(Error::Key));
        };
        let key = Envelope(key);
        // SAFETY: the key is valid.
        let kind = unsafe { c::EVP_PKEY_id(key.0.as_ptr()) };
        if input.len != 0 || kind != c::EVP_PKEY_RSA {
            return Err(Error::Key);
        }
        // SAFETY: the key is valid; the new reference is ours, null for another kind of key.
        let Some(rsa) = NonNull::new(unsafe { c::EVP_PKEY_get1_RSA(key.0.as_ptr()) }) else {
            return Err(failure(Error::Key));
        };
        // The other reference goes first, so that the key below holds the only one.
        drop(key);
        // SAFETY: ownership of `rsa` goes over.
        unsafe { Self::adopt(rsa) }
    }

    /// Puts a key together from its modulus, exponents and primes (big-endian bytes). The CRT numbers
    /// are computed with divisions whose time depends on `d`: for test vectors and offline imports.
    pub fn from_components(n: &[u8], e: u32, d: &[u8], p: &[u8], q: &[u8]) -> Result<Self, Error> {
        if p.last().is_none_or(|byte| byte % 2 == 0) {
            return Err(Error::Key);
        }
        let n = Number::from_bytes(n)?;
        let e = Number::from_u32(e)?;
        let d = Number::from_bytes(d)?;
        let p = Number::from_bytes(p)?;
        let q = Number::from_bytes(q)?;
        let d_mod_p = remainder(&d, &Number::less_one(&p)?)?;
        let d_mod_q = remainder(&d, &Number::less_one(&q)?)?;
        let q_inverse =
            Montgomery::secret(&p)?.inverse(&remainder(&q, &p)?).map_err(|_| Error::Key)?;
        // SAFETY: all eight are valid; they are copied. Null if they don't fit together.
        let rsa = NonNull::new(unsafe {
            c::RSA_new_private_key(
                n.as_ptr(),
                e.as_ptr(),
                d.as_ptr(),
                p.as_ptr(),
                q.as_ptr(),
                d_mod_p.as_ptr(),
                d_mod_q.as_ptr(),
                q_inverse.as_ptr(),
            )
        })
        .ok_or_else(|| failure(Error::Key))?;
        // SAFETY: ownership of `rsa` goes over.
        unsafe { Self::adopt(rsa) }
    }

    /// The key as DER PKCS#8, the same form that [`Self::from_pkcs8`] reads.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        // SAFETY: no preconditions; null when out of memory.
        let envelope = Envelope(owned(unsafe { c::EVP_PKEY_new() })?);
        // SAFETY: both are valid; the envelope takes a reference of its own, freed with it.
        done(unsafe { c::EVP_PKEY_set1_RSA(envelope.0.as_ptr(), self.rsa.as_ptr()) })?;
        let mut output = Output::new()?;
        // SAFETY: both are valid; the key has all its numbers, as `adopt` checked.
        done(unsafe { c::EVP_marshal_private_key(&raw mut output.0, envelope.0.as_ptr()) })?;
        output.finish()
    }

    /// The public modulus: big-endian bytes without leading zeros.
    #[must_use]
    pub fn public_modulus(&self) -> Vec<u8> {
        self.modulus.clone()
    }

    /// The public exponent.
    #[must_use]
    pub const fn public_exponent(&self) -> u32 {
        self.exponent
    }

    /// `input ^ d`, as long as the modulus. `input` has the modulus's length and lies between 2 and
    /// N - 2 (0, 1 and N - 1 are their own signatures, and nobody sends them by chance).
    pub fn private_operation(&self, input: &[u8]) -> Result<Vec<u8>, Error> {
        if input.len() != self.modulus.len() {
            return Err(Error::Length);
        }
        if input >= self.modulus.as_slice() {
            return Err(Error::OutOfRange);
        }
        let mut output = vec![0; self.modulus.len()];
        let mut written = 0;
        // SAFETY: the key is valid and may be used by several threads at once; `output` is writable
        // for its length, which is that of the modulus, and `input` readable for its own.
        let code = unsafe {
            c::RSA_sign_raw(
                self.rsa.as_ptr(),
                &raw mut written,
                output.as_mut_ptr(),
                output.len(),
                input.as_ptr(),
                input.len(),
                c::RSA_NO_PADDING,
            )
        };
        if code == 1 && written == output.len() {
            return Ok(output);
        }
        Err(failure(if self.is_fixed_point(input) { Error::OutOfRange } else { Error::Library }))
    }

    /// 0, 1 or N - 1: aws-lc refuses them.
    fn is_fixed_point(&self, input: &[u8]) -> bool {
        let (Some((low, high)), Some((_, modulus_high))) =
            (input.split_last(), self.modulus.split_last())
        else {
            return true;
        };
        let last_of_modulus = self.modulus.last().copied().unwrap_or(0);
        (*low <= 1 && high.iter().all(|byte| *byte == 0))
            || (high == modulus_high && *low == last_of_modulus.wrapping_sub(1))
    }

    /// Takes an RSA object over, and checks that it is a full private key of a size we use.
    ///
    /// # Safety
    /// `rsa` must be valid, and the caller's reference must be the only one and is given up.
    unsafe fn adopt(rsa: NonNull<c::RSA>) -> Result<Self, Error> {
        // From here on `key` frees the object, whichever way this ends.
        let mut key = Self { rsa, modulus: Vec::new(), exponent: 0 };
        // SAFETY: the object is valid; the getters read it and return borrowed pointers or null.
        let (n, e, parts) = unsafe {
            let rsa = rsa.as_ptr();
            let parts = [
                c::RSA_get0_d(rsa),
                c::RSA_get0_p(rsa),
                c::RSA_get0_q(rsa),
                c::RSA_get0_dmp1(rsa),
                c::RSA_get0_dmq1(rsa),
                c::RSA_get0_iqmp(rsa),
            ];
            (c::RSA_get0_n(rsa), c::RSA_get0_e(rsa), parts)
        };
        if n.is_null() || e.is_null() || parts.iter().any(|part| part.is_null()) {
            return Err(failure(Error::Key));
        }
        // SAFETY: the object is valid and has a modulus.
        let bits = unsafe { c::RSA_bits(rsa.as_ptr()) };
        // SAFETY: the object is valid.
        if !MODULUS_BITS.contains(&bits) || unsafe { c::RSA_check_key(rsa.as_ptr()) } != 1 {
            return Err(failure(Error::Key));
        }
        // SAFETY: `n` and `e` belong to the object, which lives as long as `key`.
        unsafe {
            key.modulus = padded_bytes(n, bits.div_ceil(8) as usize)?.to_vec();
            let exponent = padded_bytes(e, 4).map_err(|_| Error::Key)?;
            key.exponent = exponent.iter().fold(0, |value, byte| (value << 8) | u32::from(*byte));
        }
        Ok(key)
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        // SAFETY: this value holds the only reference. Freeing wipes: aws-lc cleanses all it frees.
        unsafe { c::RSA_free(self.rsa.as_ptr()) }
    }
}

/// `number mod divisor`, in time that depends on both.
fn remainder(number: &Number, divisor: &Number) -> Result<Number, Error> {
    let mut scratch = Scratch::new()?;
    let mut rest = Number::new()?;
    // SAFETY: all are valid, `rest` is ours alone, and no quotient is asked for. A zero divisor is
    // refused by the function.
    done(unsafe {
        c::BN_div(
            ptr::null_mut(),
            rest.as_mut_ptr(),
            number.as_ptr(),
            divisor.as_ptr(),
            scratch.as_mut_ptr(),
        )
    })
    .map_err(|_| Error::Key)?;
    Ok(rest)
}

/// An owned reference to an `EVP_PKEY`, the form that PKCS#8 is read from and written from.
struct Envelope(NonNull<c::EVP_PKEY>);

impl Drop for Envelope {
    fn drop(&mut self) {
        // SAFETY: this value owns the reference.
        unsafe { c::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

/// A growing DER output buffer.
struct Output(c::CBB);

impl Output {
    fn new() -> Result<Self, Error> {
        let mut output = std::mem::MaybeUninit::<c::CBB>::zeroed();
        // SAFETY: the function initialises the whole structure, or fails.
        done(unsafe { c::CBB_init(output.as_mut_ptr(), 2048) })?;
        // SAFETY: it succeeded.
        Ok(Self(unsafe { output.assume_init() }))
    }

    fn finish(mut self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut data = ptr::null_mut();
        let mut length = 0;
        // SAFETY: the buffer is initialised; on success its memory is handed to us.
        done(unsafe { c::CBB_finish(&raw mut self.0, &raw mut data, &raw mut length) })?;
        // SAFETY: `data` is readable for `length`, and nobody else has it.
        let bytes = Zeroizing::new(unsafe { std::slice::from_raw_parts(data, length) }.to_vec());
        // SAFETY: it was allocated by aws-lc and is not used after this; freeing wipes it.
        unsafe { c::OPENSSL_free(data.cast()) };
        Ok(bytes)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: allowed on an initialised buffer in every state, finished ones included.
        unsafe { c::CBB_cleanup(&raw mut self.0) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::Modulus;

    static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(2048).unwrap());

    fn some_number(seed: u8) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..=255u8).map(|i| i.wrapping_mul(31) ^ seed).collect();
        bytes[0] = 1;
        bytes
    }

    #[test]
    fn the_private_operation_undoes_the_public_one() {
        let modulus = Modulus::new(&KEY.public_modulus()).unwrap();
        let number = some_number(7);
        let signed = KEY.private_operation(&number).unwrap();
        assert_eq!(*modulus.pow(&signed, KEY.public_exponent()).unwrap(), number);
        let inverse = modulus.inverse(&number).unwrap();
        let mut one = vec![0; 256];
        one[255] = 1;
        assert_eq!(*modulus.mul(&inverse, &number).unwrap(), one);
    }

    #[test]
    fn inputs_out_of_range_are_refused() {
        let modulus = KEY.public_modulus();
        assert_eq!(KEY.private_operation(&modulus), Err(Error::OutOfRange));
        assert_eq!(KEY.private_operation(&[0xff; 256]), Err(Error::OutOfRange));
        assert_eq!(KEY.private_operation(&[0; 256]), Err(Error::OutOfRange));
        let mut minus_one = modulus.clone();
        minus_one[255] -= 1;
        assert_eq!(KEY.private_operation(&minus_one), Err(Error::OutOfRange));
        assert_eq!(KEY.private_operation(&some_number(1)[1..]), Err(Error::Length));
        assert_eq!(KEY.private_operation(&[0; 257]), Err(Error::Length));
    }

    #[test]
    fn pkcs8_round_trips_and_takes_nothing_else() {
        let der = KEY.to_pkcs8().unwrap();
        let again = PrivateKey::from_pkcs8(&der).unwrap();
        assert_eq!(again.public_modulus(), KEY.public_modulus());
        assert_eq!(again.public_exponent(), 65_537);
        let number = some_number(9);
        assert_eq!(again.private_operation(&number), KEY.private_operation(&number));
        assert_eq!(*again.to_pkcs8().unwrap(), *der);

        let mut trailing = der.to_vec();
        trailing.push(0);
        assert!(PrivateKey::from_pkcs8(&trailing).is_err());
        assert!(PrivateKey::from_pkcs8(&der[..der.len() - 1]).is_err());
        assert!(PrivateKey::from_pkcs8(&[]).is_err());
        let mut spoilt = der.to_vec();
        spoilt[400] ^= 1;
        assert!(PrivateKey::from_pkcs8(&spoilt).is_err());
    }

    #[test]
    fn sizes_outside_the_range_are_not_generated() {
        for bits in [0, 1024, 2047, 2049, 4224, u32::MAX] {
            assert!(PrivateKey::generate(bits).is_err(), "{bits}");
        }
    }

    #[test]
    fn components_must_fit_together() {
        let one = [1u8];
        let even = [4u8];
        let n = KEY.public_modulus();
        assert!(PrivateKey::from_components(&n, 65_537, &one, &one, &one).is_err());
        assert!(PrivateKey::from_components(&n, 65_537, &one, &even, &one).is_err());
        assert!(PrivateKey::from_components(&n, 65_537, &[], &[], &[]).is_err());
        assert!(PrivateKey::from_components(&n, 65_537, &[7], &[11], &[13]).is_err());
    }

    #[test]
    fn one_key_serves_many_threads() {
        let expected: Vec<_> =
            (0..4).map(|i| KEY.private_operation(&some_number(i)).unwrap()).collect();
        std::thread::scope(|scope| {
            for (i, expected) in expected.iter().enumerate() {
                scope.spawn(move || {
                    for _ in 0..8 {
                        let signed = KEY.private_operation(&some_number(i as u8)).unwrap();
                        assert_eq!(&signed, expected);
                    }
                });
            }
        });
    }
}
