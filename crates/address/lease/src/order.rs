//! What the DIP service orders of the enclave, and what the enclave grants.
//!
//! An order names address and lease and is signed by the DIP service, or anybody who reaches the enclave
//! could mint anybody's address. A grant comes back only when tokens were minted: without it nothing is
//! committed. Both are JWS without end; they are bound to one token, or to one sealed request.

use coarse::Week;
use jws::{Claims, Compact, Expect, KeySet, SigningKey};
use privacy_pass::SpendHash;
use serde::{Deserialize, Serialize};

use crate::{DIP_SERVICE, ENCLAVE, ExitAddress, LeaseId, Region};

/// SHA-256 of a sealed refresh request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestHash(#[serde(with = "hex::serde")] pub [u8; 32]);

/// "Mint for this address": goes with a sealed assignment request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The lease.
    pub lease: LeaseId,
    /// Its address.
    pub ip: ExitAddress,
    /// Where that is.
    pub region: Region,
    /// The token that was presented for it.
    pub token: SpendHash,
    /// Whether the lease, which a token may be presented for again, was frozen since: then a sealed notice comes back instead of tokens.
    pub frozen: bool,
}

impl Claims for Order {
    const TYPE: &'static str = "dip-order+jwt";
}

/// "Mint again for this lease": goes with a sealed refresh request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionOrder {
    /// The lease.
    pub lease: LeaseId,
    /// Its address.
    pub ip: ExitAddress,
    /// Where that is.
    pub region: Region,
    /// The request that this order goes with.
    pub request: RequestHash,
    /// Whether the lease is frozen: then a sealed notice comes back instead of tokens.
    pub frozen: bool,
}

impl Claims for ExtensionOrder {
    const TYPE: &'static str = "dip-extension-order+jwt";
}

/// "Minted": the answer to an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The lease.
    pub lease: LeaseId,
    /// The token it was granted for.
    pub token: SpendHash,
    /// The week at whose start the lease ends.
    pub ends: Week,
}

impl Claims for Grant {
    const TYPE: &'static str = "dip-grant+jwt";
}

/// "Minted again": the answer to an [`ExtensionOrder`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// The lease.
    pub lease: LeaseId,
    /// The request it was granted for.
    pub request: RequestHash,
    /// The week at whose start the lease ends.
    pub ends: Week,
}

impl Claims for Extension {
    const TYPE: &'static str = "dip-extension+jwt";
}

/// The two directions between DIP service and enclave; neither kind has an end.
macro_rules! directed {
    ($claims:ty, $from:expr, $to:expr) => {
        impl $claims {
            /// Signs it.
            ///
            /// # Errors
            /// As [`jws::sign`].
            pub fn sign(&self, key: &SigningKey) -> Result<Compact, jws::Error> {
                jws::sign(key, $from, &[$to], None, self)
            }

            /// Checks one.
            ///
            /// # Errors
            /// As [`jws::verify`].
            pub fn verify(token: &str, keys: &KeySet) -> Result<Self, jws::Error> {
                let expect = Expect { issuer: $from, audience: $to };
                jws::verify(token, keys, expect, coarse::UnixTime::from_seconds(0))
            }
        }
    };
}

directed!(Order, DIP_SERVICE, ENCLAVE);
directed!(ExtensionOrder, DIP_SERVICE, ENCLAVE);
directed!(Grant, ENCLAVE, DIP_SERVICE);
directed!(Extension, ENCLAVE, DIP_SERVICE);

#[cfg(test)]
mod tests {
    use coarse::{Secret, UnixTime};

    use super::*;
    use crate::lease_end;

    #[test]
    fn a_grant_is_no_extension_and_no_order() {
        let key = SigningKey::from_seed(&Secret::new([1; 32])).unwrap();
        let keys = KeySet::from(key.verifying_key());
        let lease = LeaseId::from_bytes([1; 16]);
        let ends = lease_end(UnixTime::from_seconds(1_800_000_000));
        let extension = Extension { lease, request: RequestHash([2; 32]), ends };
        let signed = extension.sign(&key).unwrap();
        assert_eq!(Extension::verify(signed.as_str(), &keys), Ok(extension));
        assert_eq!(Grant::verify(signed.as_str(), &keys), Err(jws::Error::Type));
        assert_eq!(ExtensionOrder::verify(signed.as_str(), &keys), Err(jws::Error::Type));
    }

    #[test]
    fn a_lease_outlives_its_refresh_token() {
        let now = UnixTime::from_seconds(1_800_000_000);
        let end = lease_end(now).start();
        let least = now.plus(crate::DRT_LIFE).plus(crate::LEASE_GRACE);
        assert!(end >= least && least.until(end).as_secs() <= 7 * 24 * 3600);
    }
}
