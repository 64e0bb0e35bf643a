//! The dedicated IP refresh token: subscription and address in one. It lives in the client's wallet and
//! inside sealed envelopes, nowhere else.

use coarse::{Hour, UnixTime};
use jws::{Claims, Compact, Expect, KeySet, SigningKey};
use lease::{DRT_LIFE, DipDetails, ENCLAVE, LeaseId, Region};
use receipt::{SubscriptionId, SubscriptionVersion};
use serde::{Deserialize, Serialize};

/// The claims of a DRT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drt {
    /// Whose it is.
    #[serde(rename = "sub")]
    pub subscription: SubscriptionId,
    /// In which version of the subscription it was minted.
    #[serde(rename = "did")]
    pub version: SubscriptionVersion,
    /// Which lease it renews.
    pub lease: LeaseId,
    /// The leased address.
    pub dip_details: DipDetails,
    /// Its region.
    pub region: Region,
}

impl Claims for Drt {
    const TYPE: &'static str = "drt+jwt";
}

impl Drt {
    /// When a token made `now` ends.
    #[must_use]
    pub const fn end(now: UnixTime) -> Hour {
        now.plus(DRT_LIFE).hour()
    }

    /// Signs the token.
    ///
    /// # Errors
    /// As [`jws::sign`].
    pub fn sign(&self, key: &SigningKey, now: UnixTime) -> Result<Compact, jws::Error> {
        jws::sign(key, ENCLAVE, &[ENCLAVE], Some(Self::end(now)), self)
    }

    /// Checks a token.
    ///
    /// # Errors
    /// As [`jws::verify`]; [`jws::Error::Claims`] also for a token without end.
    pub fn verify(token: &str, keys: &KeySet, now: UnixTime) -> Result<Self, jws::Error> {
        let expect = Expect { issuer: ENCLAVE, audience: ENCLAVE };
        let (drt, end) = jws::verify_with_end(token, keys, expect, now)?;
        end.map(|_| drt).ok_or(jws::Error::Claims)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_former_minting_key_is_kept_as_long_as_its_refresh_tokens_live() {
        assert_eq!(wire::REFRESH_TOKEN_LIFE, lease::DRT_LIFE);
    }
}
