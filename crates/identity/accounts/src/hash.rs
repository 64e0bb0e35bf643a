//! What is kept of an account's number.

use accounts_api::AccountNumber;
use aws_lc_rs::digest::{Context, SHA256};

const DOMAIN: &[u8] = b"cloakroom/account-number/v1/";

/// SHA-256 of `"cloakroom/account-number/v1/"` and the number's 24 digits. The number has 79 random bits, so
/// that nobody finds it by trying.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NumberHash([u8; 32]);

impl NumberHash {
    /// The hash of `number`.
    #[must_use]
    pub fn of(number: &AccountNumber) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(DOMAIN);
        context.update(number.digits());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }

    /// The 32 bytes, for a store's key column.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_sha256sum_says() {
        // printf cloakroom/account-number/v1/012345678901234567890123 | sha256sum
        let number = "012345678901234567890123".parse().unwrap();
        assert_eq!(
            hex::encode(NumberHash::of(&number).bytes()),
            "dee79611472d5f9a9d118955ec36138af9128c6cbbccedb0530a25b2ad594a3b"
        );
    }
}
