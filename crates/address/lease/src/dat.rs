//! The dedicated IP access token: what opens a tunnel.

use std::time::Duration;

use coarse::{Hour, UnixTime};
use jws::{Claims, Compact, Expect, KeySet, SigningKey};
use peer_key::PeerKey;
use serde::{Deserialize, Serialize};

use crate::{ENCLAVE, ExitAddress, Region};

/// The `aud` by which a gateway takes a DAT.
pub const GATEWAY_AUDIENCE: &str = "gateway";
/// How long a DAT lives.
pub const DAT_LIFE: Duration = Duration::from_secs(3 * 24 * 3600);

/// The claims of a DAT. It names no one: neither a subscription nor a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dat {
    /// Which address it is good for.
    pub dip_details: DipDetails,
    /// Where that address is.
    pub region: Region,
    /// Which device may use it.
    pub cnf: Confirmation,
}

/// The claim `{"ip": address}`; the address may be an IPv6 prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DipDetails {
    /// The dedicated address, or prefix.
    pub ip: ExitAddress,
}

/// The claim `{"jkt": thumbprint}` (RFC 7800 section 3.1, RFC 9449 section 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// RFC 7638 thumbprint of the device's WireGuard key.
    pub jkt: String,
}

impl Claims for Dat {
    const TYPE: &'static str = "dat+jwt";
}

impl Dat {
    /// A token for `device` to use `address`.
    #[must_use]
    pub fn new(address: ExitAddress, region: Region, device: &PeerKey) -> Self {
        Self {
            dip_details: DipDetails { ip: address },
            region,
            cnf: Confirmation { jkt: device.thumbprint() },
        }
    }

    /// When a token made `now` ends.
    #[must_use]
    pub const fn end(now: UnixTime) -> Hour {
        now.plus(DAT_LIFE).hour()
    }

    /// Signs the token.
    ///
    /// # Errors
    /// As [`jws::sign`].
    pub fn sign(&self, key: &SigningKey, now: UnixTime) -> Result<Compact, jws::Error> {
        jws::sign(key, ENCLAVE, &[GATEWAY_AUDIENCE], Some(Self::end(now)), self)
    }

    /// Checks a token.
    ///
    /// # Errors
    /// As [`verify_with_end`](Self::verify_with_end).
    pub fn verify(token: &str, keys: &KeySet, now: UnixTime) -> Result<Self, jws::Error> {
        Self::verify_with_end(token, keys, now).map(|(dat, _)| dat)
    }

    /// Checks a token and gives the hour at whose start it ends, too.
    ///
    /// # Errors
    /// As [`jws::verify`]; [`jws::Error::Claims`] also for a token without end.
    pub fn verify_with_end(
        token: &str,
        keys: &KeySet,
        now: UnixTime,
    ) -> Result<(Self, Hour), jws::Error> {
        let expect = Expect { issuer: ENCLAVE, audience: GATEWAY_AUDIENCE };
        let (dat, end) = jws::verify_with_end(token, keys, expect, now)?;
        Ok((dat, end.ok_or(jws::Error::Claims)?))
    }

    /// Whether the token names this device.
    #[must_use]
    pub fn is_for(&self, device: &PeerKey) -> bool {
        self.cnf.jkt == device.thumbprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claims_name_address_and_device_only() {
        let device: PeerKey = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap();
        let dat = Dat::new("203.0.113.7".parse().unwrap(), "eu-1".parse().unwrap(), &device);
        assert_eq!(
            serde_json::to_value(&dat).unwrap(),
            serde_json::json!({
                "dip_details": {"ip": "203.0.113.7"},
                "region": "eu-1",
                "cnf": {"jkt": device.thumbprint()},
            })
        );
        assert!(dat.is_for(&device));
        let other = "BQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap();
        assert!(!dat.is_for(&other));
    }

    #[test]
    fn a_token_without_end_is_none() {
        let key = SigningKey::from_seed(&coarse::Secret::new([1; 32])).unwrap();
        let keys = KeySet::from(key.verifying_key());
        let device = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap();
        let dat = Dat::new("203.0.113.7".parse().unwrap(), "eu-1".parse().unwrap(), &device);
        let now = UnixTime::from_seconds(1_800_000_000);
        let good = dat.sign(&key, now).unwrap();
        assert_eq!(
            Dat::verify_with_end(good.as_str(), &keys, now),
            Ok((dat.clone(), Dat::end(now)))
        );
        let endless = jws::sign(&key, ENCLAVE, &[GATEWAY_AUDIENCE], None, &dat).unwrap();
        assert_eq!(Dat::verify(endless.as_str(), &keys, now), Err(jws::Error::Claims));
    }
}
