//! HKDF-SHA256 (RFC 5869) by aws-lc, and HPKE's exporter (RFC 9180 section 5.3) in front of it.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use coarse::Secret;
use zeroize::Zeroizing;

use crate::Error;

/// `Export(label, 32)` of a context, whichever end's it is.
pub(crate) fn exported(
    export: impl FnOnce(&[u8], &mut [u8]) -> bool,
    label: &[u8],
) -> Result<Secret<32>, Error> {
    let mut secret = Zeroizing::new([0; 32]);
    if export(label, &mut *secret) { Ok(Secret::new(*secret)) } else { Err(Error::Unopenable) }
}

/// An extracted key.
pub(crate) struct Hkdf(Prk);

impl Hkdf {
    pub(crate) fn extract(salt: &[u8], ikm: &Secret<32>) -> Self {
        Self(Salt::new(HKDF_SHA256, salt).extract(ikm.expose()))
    }

    /// Fills `out` with what comes of `info`, given in pieces.
    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), Error> {
        let okm = self.0.expand(info, Length(out.len())).map_err(|_| Error::Unopenable)?;
        okm.fill(out).map_err(|_| Error::Unopenable)
    }
}

/// An output length for aws-lc's HKDF.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
