//! Owners of what aws-lc allocates: each frees, and wipes, in `drop`.

use std::ffi::c_int;
use std::ptr::NonNull;

use aws_lc_sys as c;
use zeroize::Zeroizing;

use crate::Error;

/// An owned `BIGNUM`; wiped when freed.
pub(crate) struct Number(NonNull<c::BIGNUM>);

// SAFETY: a BIGNUM is plain heap memory without thread affinity, and this value is its only owner.
unsafe impl Send for Number {}
// SAFETY: through `&Number` only functions that take `const BIGNUM *` are reached. They read it and
// write nothing, so any number of threads may do so at once.
unsafe impl Sync for Number {}

impl Number {
    /// Zero.
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: no preconditions; null when out of memory.
        owned(unsafe { c::BN_new() }).map(Self)
    }

    /// The number with these big-endian bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut number = Self::new()?;
        // SAFETY: `bytes` is readable for its length, and the BIGNUM is ours alone.
        let read = unsafe { c::BN_bin2bn(bytes.as_ptr(), bytes.len(), number.as_mut_ptr()) };
        if read.is_null() { Err(failure(Error::Library)) } else { Ok(number) }
    }

    /// The number `value`.
    pub(crate) fn from_u32(value: u32) -> Result<Self, Error> {
        Self::from_bytes(&value.to_be_bytes())
    }

    /// A random number from 1 to `end` - 1.
    pub(crate) fn random_below(end: &Self) -> Result<Self, Error> {
        let mut number = Self::new()?;
        // SAFETY: both are valid, and the one that is written is ours alone.
        done(unsafe { c::BN_rand_range_ex(number.as_mut_ptr(), 1, end.as_ptr()) })?;
        Ok(number)
    }

    /// A copy of `source` less one.
    pub(crate) fn less_one(source: &Self) -> Result<Self, Error> {
        // SAFETY: `source` is a valid BIGNUM; null when out of memory.
        let mut copy = Self(owned(unsafe { c::BN_dup(source.as_ptr()) })?);
        // SAFETY: the BIGNUM is ours alone.
        done(unsafe { c::BN_sub_word(copy.as_mut_ptr(), 1) })?;
        Ok(copy)
    }

    pub(crate) const fn as_ptr(&self) -> *const c::BIGNUM {
        self.0.as_ptr()
    }

    pub(crate) const fn as_mut_ptr(&mut self) -> *mut c::BIGNUM {
        self.0.as_ptr()
    }

    /// Big-endian bytes, padded with zeros to `length`.
    pub(crate) fn to_bytes(&self, length: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        // SAFETY: the pointer is that of a valid BIGNUM, borrowed for the call.
        unsafe { padded_bytes(self.as_ptr(), length) }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: this value is the only owner, and it is gone after this.
        unsafe { c::BN_clear_free(self.0.as_ptr()) }
    }
}

/// Scratch space for aws-lc's arithmetic; wiped when freed (aws-lc's `OPENSSL_free` always wipes).
pub(crate) struct Scratch(NonNull<c::BN_CTX>);

impl Scratch {
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: no preconditions; null when out of memory.
        owned(unsafe { c::BN_CTX_new() }).map(Self)
    }

    pub(crate) const fn as_mut_ptr(&mut self) -> *mut c::BN_CTX {
        self.0.as_ptr()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: this value is the only owner, and it is gone after this.
        unsafe { c::BN_CTX_free(self.0.as_ptr()) }
    }
}

/// A Montgomery context: what is precomputed for one odd modulus.
pub(crate) struct Montgomery(NonNull<c::BN_MONT_CTX>);

// SAFETY: plain heap memory without thread affinity, and this value is its only owner.
unsafe impl Send for Montgomery {}
// SAFETY: after creation only `const BN_MONT_CTX *` is ever handed out, which nothing writes through.
unsafe impl Sync for Montgomery {}

impl Montgomery {
    /// For a modulus that anybody may know. It must be odd.
    pub(crate) fn public(modulus: &Number) -> Result<Self, Error> {
        let mut scratch = Scratch::new()?;
        // SAFETY: both are valid; the result is owned by the caller, null on failure.
        owned(unsafe { c::BN_MONT_CTX_new_for_modulus(modulus.as_ptr(), scratch.as_mut_ptr()) })
            .map(Self)
    }

    /// For a secret modulus, such as a prime factor. It must be odd.
    pub(crate) fn secret(modulus: &Number) -> Result<Self, Error> {
        let mut scratch = Scratch::new()?;
        // SAFETY: both are valid; the result is owned by the caller, null on failure.
        owned(unsafe { c::BN_MONT_CTX_new_consttime(modulus.as_ptr(), scratch.as_mut_ptr()) })
            .map(Self)
    }

    pub(crate) const fn as_ptr(&self) -> *const c::BN_MONT_CTX {
        self.0.as_ptr()
    }

    /// The inverse of `number` (below the modulus), blinded by a random factor while it is computed.
    pub(crate) fn inverse(&self, number: &Number) -> Result<Number, Error> {
        let mut scratch = Scratch::new()?;
        let mut inverse = Number::new()?;
        let mut no_inverse: c_int = 0;
        // SAFETY: all pointers are valid, `inverse` is ours alone and distinct from `number`.
        let code = unsafe {
            c::BN_mod_inverse_blinded(
                inverse.as_mut_ptr(),
                &raw mut no_inverse,
                number.as_ptr(),
                self.as_ptr(),
                scratch.as_mut_ptr(),
            )
        };
        if no_inverse != 0 {
            return Err(failure(Error::NotInvertible));
        }
        done(code)?;
        Ok(inverse)
    }
}

impl Drop for Montgomery {
    fn drop(&mut self) {
        // SAFETY: this value is the only owner, and it is gone after this.
        unsafe { c::BN_MONT_CTX_free(self.0.as_ptr()) }
    }
}

/// Big-endian bytes of `number`, padded with zeros to `length`; [`Error::Length`] if they don't fit.
///
/// # Safety
/// `number` must point to a valid `BIGNUM` that nobody writes during the call.
pub(crate) unsafe fn padded_bytes(
    number: *const c::BIGNUM,
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    // SAFETY: `bytes` is writable for `length`, and `number` is valid as the caller promised.
    match unsafe { c::BN_bn2bin_padded(bytes.as_mut_ptr(), length, number) } {
        1 => Ok(bytes),
        _ => Err(failure(Error::Length)),
    }
}

/// Takes ownership of what C allocated.
pub(crate) fn owned<T>(pointer: *mut T) -> Result<NonNull<T>, Error> {
    NonNull::new(pointer).ok_or_else(|| failure(Error::Library))
}

/// Reads the status of a C function: 1 is success.
pub(crate) fn done(code: c_int) -> Result<(), Error> {
    if code == 1 { Ok(()) } else { Err(failure(Error::Library)) }
}

/// Empties the thread's error queue, so that later calls (ours or a TLS library's) find none of it.
pub(crate) fn failure(error: Error) -> Error {
    // SAFETY: no preconditions; it touches this thread's queue only.
    unsafe { c::ERR_clear_error() };
    error
}
