//! WireGuard keys: X25519 (RFC 7748), parsed once, canonical, never of low order.
//!
//! Two encodings of one point, or a point that gives everybody the same secret, would let a device pass
//! for another, so a [`PeerKey`] can't hold either. Keys are written as WireGuard writes them: base64 with padding.

mod thumbprint;

pub use thumbprint::{BadThumbprint, Thumbprint};

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coarse::Secret;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Why bytes are no peer's key.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not 32 bytes, or not base64.
    #[error("the key is not 32 bytes of base64")]
    Encoding,
    /// Another encoding of a point that has a smaller one.
    #[error("the key is not canonically encoded")]
    NotCanonical,
    /// A point of low order: every secret agreed with it is known.
    #[error("the key is a point of low order")]
    LowOrder,
}

/// A peer's public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerKey([u8; 32]);

impl PeerKey {
    /// The key with this encoding of the u-coordinate, little-endian.
    ///
    /// # Errors
    /// [`Error::NotCanonical`] at or above 2^255 - 19, [`Error::LowOrder`] for the points that multiply to zero.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, Error> {
        if !is_below_the_prime(&bytes) {
            return Err(Error::NotCanonical);
        }
        if LOW_ORDER.contains(&bytes) {
            return Err(Error::LowOrder);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's [`Thumbprint`] as it is written.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        Thumbprint::from(self).to_string()
    }
}

/// The canonical u-coordinates whose points have an order that divides 8, on the curve and on its twist: 0, 1, the two of order 8, and
/// p - 1. A clamped scalar, a multiple of 8, takes these to zero, and no others.
const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
];

/// Whether the little-endian number is less than p = 2^255 - 19.
fn is_below_the_prime(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    !(*last > 0x7f || (*last == 0x7f && *first >= 0xed && middle.iter().all(|byte| *byte == 0xff)))
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(..)")
    }
}

impl FromStr for PeerKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = STANDARD.decode(text).map_err(|_| Error::Encoding)?;
        Self::from_bytes(bytes.try_into().map_err(|_| Error::Encoding)?)
    }
}

impl TryFrom<String> for PeerKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<PeerKey> for String {
    fn from(key: PeerKey) -> Self {
        key.to_string()
    }
}

/// One's own private key. It has no `Debug` and is wiped on drop.
#[derive(Clone)]
pub struct PeerSecret(Secret<32>);

impl PeerSecret {
    /// The key with these bytes, clamped as RFC 7748 section 5 says (keys that differ in the clamped bits alone are one).
    #[must_use]
    pub fn from_bytes(bytes: &Secret<32>) -> Self {
        let mut clamped = Zeroizing::new(*bytes.expose());
        let [first, .., last] = &mut *clamped;
        *first &= 0xf8;
        *last = (*last & 0x7f) | 0x40;
        Self(Secret::new(*clamped))
    }

    /// A fresh key.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_bytes(&Secret::random(rng))
    }

    /// The clamped 32 bytes, for the tunnel and the key file.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PeerKey {
        let secret = StaticSecret::from(*self.0.expose());
        PeerKey(PublicKey::from(&secret).to_bytes())
    }

    /// The secret that is agreed with the holder of this public key (RFC 7748 section 6.1); nothing when it is all zeros, which
    /// points of low order make it for everybody.
    #[must_use]
    pub fn agree(&self, with: &[u8; 32]) -> Option<Secret<32>> {
        let agreed = StaticSecret::from(*self.0.expose()).diffie_hellman(&PublicKey::from(*with));
        agreed.was_contributory().then(|| Secret::new(agreed.to_bytes()))
    }

    /// The key as WireGuard's configuration files write it.
    #[must_use]
    pub fn to_base64(&self) -> coarse::SecretText {
        coarse::SecretText::new(STANDARD.encode(self.expose()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(hex_bytes: &str) -> Result<PeerKey, Error> {
        PeerKey::from_bytes(hex::decode(hex_bytes).unwrap().try_into().unwrap())
    }

    /// The points of small order of Curve25519 and its twist, as <https://cr.yp.to/ecdh.html> lists them.
    #[test]
    fn points_of_low_order_are_refused() {
        for point in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert_eq!(parse(point).unwrap_err(), Error::LowOrder, "{point}");
        }
    }

    /// An agreement over a point of low order is all zero, whatever the secret.
    fn agrees_on_nothing(point: [u8; 32]) -> bool {
        !StaticSecret::from([1; 32]).diffie_hellman(&PublicKey::from(point)).was_contributory()
    }

    #[test]
    fn the_list_holds_what_agrees_on_nothing() {
        assert!(LOW_ORDER.into_iter().all(agrees_on_nothing));
        // Around zero and around the prime, where the others lie.
        let near = |last: u8| (0..=255).map(move |first| (first, last));
        for (first, last) in near(0).chain(near(0x7f)) {
            let mut point = [if last == 0 { 0 } else { 0xff }; 32];
            (point[0], point[31]) = (first, last);
            assert_eq!(
                PeerKey::from_bytes(point).is_err(),
                agrees_on_nothing(point) || !is_below_the_prime(&point)
            );
        }
    }

    #[test]
    fn only_the_smallest_encoding_counts() {
        for point in [
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0900000000000000000000000000000000000000000000000000000000000080",
        ] {
            assert_eq!(parse(point).unwrap_err(), Error::NotCanonical, "{point}");
        }
        assert!(parse("0900000000000000000000000000000000000000000000000000000000000000").is_ok());
    }

    /// RFC 7748 section 6.1: Alice's and Bob's keys.
    #[test]
    fn the_rfcs_keys_come_out() {
        for (secret, public) in [
            (
                "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            ),
            (
                "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            ),
        ] {
            let bytes: [u8; 32] = hex::decode(secret).unwrap().try_into().unwrap();
            let key = PeerSecret::from_bytes(&Secret::new(bytes));
            assert_eq!(hex::encode(key.public().bytes()), public);
        }
    }

    /// RFC 7748 section 6.1: what Alice and Bob agree on.
    #[test]
    fn both_agree_on_the_rfcs_secret() {
        let key = |text: &str| {
            PeerSecret::from_bytes(&Secret::new(hex::decode(text).unwrap().try_into().unwrap()))
        };
        let alice = key("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = key("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let agreed = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        for (one, other) in [(&alice, &bob), (&bob, &alice)] {
            let secret = one.agree(other.public().bytes()).unwrap();
            assert_eq!(hex::encode(secret.expose()), agreed);
        }
    }

    #[test]
    fn nothing_is_agreed_with_a_point_of_low_order() {
        let key = PeerSecret::from_bytes(&Secret::new([9; 32]));
        for first in [0, 1] {
            let mut point = [0; 32];
            point[0] = first;
            assert!(key.agree(&point).is_none());
        }
    }

    #[test]
    fn text_and_bytes_agree() {
        let key = PeerSecret::from_bytes(&Secret::new([9; 32])).public();
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PeerKey>(&json).unwrap(), key);
        assert_eq!("AAAA".parse::<PeerKey>().unwrap_err(), Error::Encoding);
        assert_eq!(key.thumbprint().len(), 43);
        assert_eq!(format!("{key:?}"), "PeerKey(..)");
    }

    proptest! {
        #[test]
        fn made_keys_parse(seed in any::<[u8; 32]>()) {
            let public = PeerSecret::from_bytes(&Secret::new(seed)).public();
            prop_assert_eq!(PeerKey::from_bytes(*public.bytes()), Ok(public));
            prop_assert!(!agrees_on_nothing(*public.bytes()));
        }
    }
}
