//! The subscription receipt token: proof of a paid subscription, three days at most.

use std::time::Duration;

use coarse::{Hour, UnixTime};
use jws::{Claims, Compact, Expect, KeySet, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{ACCOUNTS, SubscriptionId, SubscriptionVersion};

/// The `aud` by which the blind token service takes an SRT.
pub const ISSUER_AUDIENCE: &str = "blind-token-service";
/// The `aud` by which the enclave takes an SRT.
pub const ENCLAVE_AUDIENCE: &str = "enclave";
/// The longest life of an SRT. A refunded subscription gets no new one, so this bounds what it can still do.
pub const MAX_LIFE: Duration = Duration::from_secs(3 * 24 * 3600);

/// The claims of an SRT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Srt {
    /// The subscription.
    #[serde(rename = "sub")]
    pub subscription: SubscriptionId,
    /// What was paid for.
    pub entitlements: Entitlements,
}

impl Claims for Srt {
    const TYPE: &'static str = "srt+jwt";
}

/// What a subscription covers. A name that is absent isn't covered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlements {
    /// A dedicated IP, and the version of the subscription that it belongs to.
    #[serde(rename = "vpn.dip", skip_serializing_if = "Option::is_none")]
    pub dedicated_ip: Option<DedicatedIp>,
    /// Daily access to any exit.
    #[serde(rename = "vpn.access", skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// The claim `{"did": version}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedicatedIp {
    /// The subscription's version.
    pub did: SubscriptionVersion,
}

/// The claim `{}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {}

/// What can be sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entitlement {
    /// `vpn.dip`.
    DedicatedIp,
    /// `vpn.access`.
    Access,
}

impl Entitlement {
    /// Every entitlement.
    pub const ALL: [Self; 2] = [Self::DedicatedIp, Self::Access];

    /// The claim's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DedicatedIp => "vpn.dip",
            Self::Access => "vpn.access",
        }
    }

    /// The entitlement with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entitlement| entitlement.as_str() == name)
    }
}

impl Entitlements {
    /// These entitlements for a subscription of this version.
    #[must_use]
    pub fn new(
        covered: impl IntoIterator<Item = Entitlement>,
        version: SubscriptionVersion,
    ) -> Self {
        let mut all = Self::default();
        for entitlement in covered {
            match entitlement {
                Entitlement::DedicatedIp => all.dedicated_ip = Some(DedicatedIp { did: version }),
                Entitlement::Access => all.access = Some(Access {}),
            }
        }
        all
    }
}

impl Srt {
    /// Signs a receipt that is good for both of its readers and ends [`MAX_LIFE`] from `now`, rounded down to
    /// the hour.
    ///
    /// # Errors
    /// As [`jws::sign`].
    pub fn sign(&self, key: &SigningKey, now: UnixTime) -> Result<Compact, jws::Error> {
        jws::sign(key, ACCOUNTS, &[ISSUER_AUDIENCE, ENCLAVE_AUDIENCE], Some(Self::end(now)), self)
    }

    /// When a receipt made `now` ends.
    #[must_use]
    pub const fn end(now: UnixTime) -> Hour {
        now.plus(MAX_LIFE).hour()
    }

    /// Checks a receipt for the reader `audience`. One without an end, or with one further off than [`MAX_LIFE`], is none: what a
    /// refunded subscription can still do rests on that.
    ///
    /// # Errors
    /// As [`jws::verify`]; [`jws::Error::Claims`] for a life that is too long.
    pub fn verify(
        token: &str,
        keys: &KeySet,
        audience: &str,
        now: UnixTime,
    ) -> Result<Self, jws::Error> {
        let expect = Expect { issuer: ACCOUNTS, audience };
        let (srt, end): (Self, _) = jws::verify_with_end(token, keys, expect, now)?;
        let latest = now.plus(MAX_LIFE).plus(jws::CLOCK_SKEW);
        match end {
            Some(end) if end.start() <= latest => Ok(srt),
            _ => Err(jws::Error::Claims),
        }
    }
}

#[cfg(test)]
mod tests {
    use coarse::Secret;

    use super::*;

    #[test]
    fn the_claims_are_those_of_the_paper() {
        let srt = Srt {
            subscription: SubscriptionId::from_bytes([1; 16]),
            entitlements: Entitlements::new(Entitlement::ALL, SubscriptionVersion::new(2)),
        };
        assert_eq!(
            serde_json::to_value(&srt).unwrap(),
            serde_json::json!({
                "sub": "01".repeat(16),
                "entitlements": {"vpn.dip": {"did": 2}, "vpn.access": {}},
            })
        );
    }

    #[test]
    fn a_receipt_lives_three_days_and_serves_its_two_readers() {
        let key = SigningKey::from_seed(&Secret::new([1; 32])).unwrap();
        let keys = KeySet::from(key.verifying_key());
        let now = UnixTime::from_seconds(1_800_000_000);
        let srt = Srt {
            subscription: SubscriptionId::from_bytes([1; 16]),
            entitlements: Entitlements::default(),
        };
        let token = srt.sign(&key, now).unwrap();
        for audience in [ISSUER_AUDIENCE, ENCLAVE_AUDIENCE] {
            assert_eq!(Srt::verify(token.as_str(), &keys, audience, now).as_ref(), Ok(&srt));
        }
        let refused =
            |audience, now| Srt::verify(token.as_str(), &keys, audience, now).unwrap_err();
        assert_eq!(refused("gateway", now), jws::Error::Audience);
        let later = now.plus(MAX_LIFE).plus(jws::CLOCK_SKEW);
        assert_eq!(refused(ISSUER_AUDIENCE, later), jws::Error::Expired);
    }

    #[test]
    fn a_receipt_with_too_long_a_life_is_none() {
        let key = SigningKey::from_seed(&Secret::new([1; 32])).unwrap();
        let keys = KeySet::from(key.verifying_key());
        let now = UnixTime::from_seconds(1_800_000_000);
        let srt = Srt {
            subscription: SubscriptionId::from_bytes([1; 16]),
            entitlements: Entitlements::default(),
        };
        let ending = |end| {
            let token = jws::sign(&key, ACCOUNTS, &[ISSUER_AUDIENCE], end, &srt).unwrap();
            Srt::verify(token.as_str(), &keys, ISSUER_AUDIENCE, now).err()
        };
        assert_eq!(ending(Some(Srt::end(now))), None);
        let later = Hour::new(Srt::end(now).number() + 2);
        assert_eq!(ending(Some(later)), Some(jws::Error::Claims));
        assert_eq!(ending(None), Some(jws::Error::Claims));
    }
}
