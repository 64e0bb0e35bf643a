//! What the DIP service orders of the enclave, and what the enclave grants.
//!
//! An order names address and lease and is signed by the DIP service, or anybody who reaches the enclave
//! could mint anybody's address. A grant comes back only when tokens were minted: without it nothing is
//! committed. Both are JWS bound to one token, or to one sealed request. An order ends minutes after it was signed, by the enclave's own
//! time, so that nobody can repeat an old one; a grant has no end.

use std::time::Duration;

use coarse::{UnixTime, Week};
use jws::{Claims, Compact, Expect, KeySet, SigningKey};
use privacy_pass::SpendHash;
use serde::{Deserialize, Serialize};

use crate::{DIP_SERVICE, ENCLAVE, ExitAddress, LeaseId, Notice, Region};

/// How long an order lives: as long as a slow enclave may take, and clocks may differ.
pub const ORDER_LIFE: Duration = Duration::from_secs(300);

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
    /// Whether the lease, which a token may be presented for again, was frozen since: then the sealed notice comes back instead of tokens.
    pub frozen: bool,
    /// What the provider has to say to the lease's holder. A frozen lease has a notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
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
    /// Whether the lease is frozen: then the sealed notice comes back instead of tokens.
    pub frozen: bool,
    /// What the provider has to say to the lease's holder. A frozen lease has a notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
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

/// "Its holder gives it back": the other answer to an [`ExtensionOrder`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The lease.
    pub lease: LeaseId,
    /// The request in which its holder said so.
    pub request: RequestHash,
    /// The week at whose start the lease ends, if it doesn't end before.
    pub ends: Week,
}

impl Claims for Release {
    const TYPE: &'static str = "dip-release+jwt";
}

/// From the DIP service to the enclave, for [`ORDER_LIFE`].
macro_rules! order {
    ($claims:ty) => {
        impl $claims {
            /// Signs it for [`ORDER_LIFE`] from `now`.
            ///
            /// # Errors
            /// As [`jws::sign`].
            pub fn sign(&self, key: &SigningKey, now: UnixTime) -> Result<Compact, jws::Error> {
                jws::sign_briefly(key, DIP_SERVICE, &[ENCLAVE], now.plus(ORDER_LIFE), self)
            }

            /// Checks one. One without an end is none.
            ///
            /// # Errors
            /// As [`jws::verify`].
            pub fn verify(token: &str, keys: &KeySet, now: UnixTime) -> Result<Self, jws::Error> {
                let expect = Expect { issuer: DIP_SERVICE, audience: ENCLAVE };
                let (order, end) = jws::verify_with_end(token, keys, expect, now)?;
                end.map(|_| order).ok_or(jws::Error::Claims)
            }
        }
    };
}

/// From the enclave to the DIP service, without end.
macro_rules! grant {
    ($claims:ty) => {
        impl $claims {
            /// Signs it.
            ///
            /// # Errors
            /// As [`jws::sign`].
            pub fn sign(&self, key: &SigningKey) -> Result<Compact, jws::Error> {
                jws::sign(key, ENCLAVE, &[DIP_SERVICE], None, self)
            }

            /// Checks one.
            ///
            /// # Errors
            /// As [`jws::verify`].
            pub fn verify(token: &str, keys: &KeySet) -> Result<Self, jws::Error> {
                let expect = Expect { issuer: ENCLAVE, audience: DIP_SERVICE };
                jws::verify(token, keys, expect, UnixTime::from_seconds(0))
            }
        }
    };
}

order!(Order);
order!(ExtensionOrder);
grant!(Grant);
grant!(Extension);
grant!(Release);

#[cfg(test)]
mod tests {
    use coarse::Secret;

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
        assert_eq!(Release::verify(signed.as_str(), &keys), Err(jws::Error::Type));
        let now = UnixTime::from_seconds(1_800_000_000);
        assert_eq!(ExtensionOrder::verify(signed.as_str(), &keys, now), Err(jws::Error::Type));
    }

    #[test]
    fn an_order_ends_within_minutes() {
        let key = SigningKey::from_seed(&Secret::new([1; 32])).unwrap();
        let keys = KeySet::from(key.verifying_key());
        let now = UnixTime::from_seconds(1_800_000_000);
        let order = Order {
            lease: LeaseId::from_bytes([1; 16]),
            ip: "203.0.113.7".parse().unwrap(),
            region: "eu-1".parse().unwrap(),
            token: SpendHash::from_bytes([2; 32]),
            frozen: false,
            notice: None,
        };
        let signed = order.sign(&key, now).unwrap();
        let at = |seconds| {
            let now = now.plus(Duration::from_secs(seconds));
            Order::verify(signed.as_str(), &keys, now).err()
        };
        assert_eq!((at(0), at(300)), (None, None));
        assert_eq!(at(360), Some(jws::Error::Expired));
        let endless = jws::sign(&key, DIP_SERVICE, &[ENCLAVE], None, &order).unwrap();
        assert_eq!(
            Order::verify(endless.as_str(), &keys, now),
            Err(jws::Error::Claims),
            "an order without end"
        );
    }

    #[test]
    fn the_longest_orders_are_tokens() {
        let key = SigningKey::from_seed(&Secret::new([1; 32])).unwrap();
        let keys = KeySet::from(key.verifying_key());
        let now = UnixTime::from_seconds(1_800_000_000);
        // Nothing takes more room in JSON than a quotation mark.
        let notice = Notice {
            reference: "/".repeat(crate::LONGEST_REFERENCE).parse().unwrap(),
            text: "\"".repeat(crate::LONGEST_NOTICE).parse().unwrap(),
        };
        let lease = LeaseId::from_bytes([1; 16]);
        let ip = "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap();
        let (region, notice): (Region, _) = ("r".repeat(32).parse().unwrap(), Some(notice));
        let token = SpendHash::from_bytes([2; 32]);
        let order = Order {
            lease,
            ip,
            region: region.clone(),
            token,
            frozen: true,
            notice: notice.clone(),
        };
        let signed = order.sign(&key, now).unwrap();
        assert_eq!(Order::verify(signed.as_str(), &keys, now), Ok(order));
        let request = RequestHash([2; 32]);
        let order = ExtensionOrder { lease, ip, region, request, frozen: false, notice };
        let signed = order.sign(&key, now).unwrap();
        assert_eq!(ExtensionOrder::verify(signed.as_str(), &keys, now), Ok(order));
    }

    #[test]
    fn a_lease_outlives_its_refresh_token() {
        let now = UnixTime::from_seconds(1_800_000_000);
        let end = lease_end(now).start();
        let least = now.plus(crate::DRT_LIFE).plus(crate::LEASE_GRACE);
        assert!(end >= least && least.until(end).as_secs() <= 7 * 24 * 3600);
    }
}
