//! Platform configuration registers: what an enclave's image and surroundings measure to.

use std::collections::BTreeMap;

use aws_lc_rs::digest;

/// Registers by number, below 32; each a SHA-384 hash.
///
/// AWS: 0 = the whole image, 1 = kernel and boot, 2 = application, 3 = IAM role (zero without one), 4 =
/// instance id (differs per machine, don't pin it), 8 = signing certificate, 16 and up = the enclave's own.
pub type Pcrs = BTreeMap<u8, Pcr>;

/// One register's value.
pub type Pcr = [u8; 48];

/// The value before anything is measured. PCR0 to PCR2 keep it in debug mode.
pub(crate) const ZERO: Pcr = [0; 48];
/// How many registers there are.
pub(crate) const COUNT: u8 = 32;

/// A zero register extended once with `content`: SHA-384(48 zero bytes || SHA-384(content)).
///
/// This is how the parts of an image become PCR0 to PCR2.
#[must_use]
pub fn extended(content: &[u8]) -> Pcr {
    sha384(&[&ZERO, &sha384(&[content])])
}

fn sha384(parts: &[&[u8]]) -> Pcr {
    let mut context = digest::Context::new(&digest::SHA384);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = ZERO;
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The PCR2 that many published images share: they have no ramdisk besides the first.
    #[test]
    fn nothing_extends_to_a_well_known_value() {
        let pcr = hex::encode(extended(b""));
        assert!(pcr.starts_with("21b9efbc184807662e966d34f3908213"));
    }
}
