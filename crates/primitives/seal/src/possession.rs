//! The proof, inside a sealed request, that its sender holds an X25519 key.
//!
//! ```text
//! dh    = X25519(private key, recipient's public key); all zeros is refused (RFC 7748 section 6.1)
//! proof = HKDF-SHA256(ikm = dh, salt = Export("cloakroom v1 device", 32),
//!                     info = "cloakroom v1 device" || public key (32) || associated data), 32 bytes
//! ```
//!
//! The exporter's secret (RFC 9180 section 5.3) is this context's alone: it depends on the recipient's key, `enc` and
//! `info`, so a proof holds in this one envelope. It doesn't depend on the associated data, which is why that is
//! named. It is a MAC: the recipient could make it, too, and it convinces nobody else.

use coarse::Secret;
use peer_key::{PeerKey, PeerSecret};
use zeroize::Zeroizing;

use crate::hkdf::{Hkdf, exported};
use crate::{Error, OpeningKey};

const LABEL: &[u8] = b"cloakroom v1 device";

/// That the sender of a request holds a key. Compared by [`ProofCheck::holds`] alone, in constant time.
#[derive(Clone)]
pub struct KeyProof(Secret<32>);

impl KeyProof {
    /// The proof with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// What proofs in one opened request are checked with.
pub struct ProofCheck<'a> {
    request: Binding,
    recipient: &'a OpeningKey,
}

impl<'a> ProofCheck<'a> {
    pub(crate) const fn new(request: Binding, recipient: &'a OpeningKey) -> Self {
        Self { request, recipient }
    }

    /// Whether the request's sender holds the private half of `key`.
    #[must_use]
    pub fn holds(&self, key: &PeerKey, proof: &KeyProof) -> bool {
        let agreed = self.recipient.as_peer().agree(key.bytes());
        let expected = agreed.and_then(|agreed| self.request.proof(&agreed, key).ok());
        expected.is_some_and(|expected| expected.0.same_as(&proof.0))
    }
}

/// What a proof is bound to: one context and its associated data.
pub(crate) struct Binding {
    secret: Secret<32>,
    bound: Vec<u8>,
}

impl Binding {
    pub(crate) fn new(
        export: impl FnOnce(&[u8], &mut [u8]) -> bool,
        bound: &[u8],
    ) -> Result<Self, Error> {
        Ok(Self { secret: exported(export, LABEL)?, bound: bound.to_vec() })
    }

    /// The sender's proof, to the holder of the private half of `recipient`.
    pub(crate) fn prove(&self, key: &PeerSecret, recipient: &[u8; 32]) -> Result<KeyProof, Error> {
        let agreed = key.agree(recipient).ok_or(Error::RecipientKey)?;
        self.proof(&agreed, &key.public())
    }

    fn proof(&self, agreed: &Secret<32>, key: &PeerKey) -> Result<KeyProof, Error> {
        let mut proof = Zeroizing::new([0; 32]);
        let info = [LABEL, key.bytes(), &self.bound];
        Hkdf::extract(self.secret.expose(), agreed).expand(&info, &mut *proof)?;
        Ok(KeyProof::from_bytes(*proof))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use coarse::system_rng;
    use rand_core::{TryCryptoRng, TryRng};

    use super::*;
    use crate::{Opened, Sealer};

    const INFO: &[u8] = b"v1 test";
    const SIZE: usize = 128;

    /// "Random" bytes that are all one value.
    struct Always(u8);

    impl TryRng for Always {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(u32::from_ne_bytes([self.0; 4]))
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(u64::from_ne_bytes([self.0; 8]))
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.fill(self.0);
            Ok(())
        }
    }
    impl TryCryptoRng for Always {}

    fn device(number: u8) -> PeerSecret {
        PeerSecret::from_bytes(&Secret::new([number; 32]))
    }

    fn sealer(to: &OpeningKey, info: &[u8], bound: &[u8]) -> Sealer {
        Sealer::new(to.public(), info, bound, &mut system_rng()).unwrap()
    }

    /// What the recipient makes of a context that proved nothing by itself.
    fn opened(key: &OpeningKey, sealer: Sealer) -> Opened<'_> {
        let (sealed, _) = sealer.seal(b"hello", SIZE).unwrap();
        key.open(INFO, b"bound", &sealed, SIZE).unwrap()
    }

    /// Computed by `testdata/device-proof/derive.mjs`.
    #[test]
    fn device_proofs_computed_elsewhere_hold() {
        let file = include_str!("../../../../testdata/device-proof/vectors.json");
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 2);
        for vector in vectors {
            let bytes = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
            let key = |name: &str| -> [u8; 32] { bytes(name).try_into().unwrap() };
            let recipient = OpeningKey::generate(&mut Always(bytes("recipient_ikm")[0]));
            assert_eq!(*recipient.public().bytes(), key("recipient_public"));
            let device = PeerSecret::from_bytes(&Secret::new(key("device_private")));
            let (info, bound) =
                (vector["info"].as_str().unwrap().as_bytes(), bytes("associated_data"));
            let mut rng = Always(bytes("ephemeral_ikm")[0]);
            let sealer = Sealer::new(recipient.public(), info, &bound, &mut rng).unwrap();
            let proof = KeyProof::from_bytes(key("proof"));
            assert_eq!(sealer.prove(&device).unwrap().bytes(), proof.bytes());
            let (sealed, _) = sealer.seal(b"", SIZE).unwrap();
            assert_eq!(sealed[32..64], key("enc"));
            let opened = recipient.open(info, &bound, &sealed, SIZE).unwrap();
            assert!(opened.proofs.holds(&device.public(), &proof));
        }
    }

    #[test]
    fn a_key_is_proven_by_its_holder_only() {
        let key = OpeningKey::generate(&mut system_rng());
        let (victim, attacker) = (device(1), device(2));
        let sealer = sealer(&key, INFO, b"bound");
        let (theirs, own) = (sealer.prove(&victim).unwrap(), sealer.prove(&attacker).unwrap());
        // With everything that an attacker has: the context, both public keys, and a private key.
        let export = |label: &[u8], out: &mut [u8]| sealer.export(label, out);
        let binding = Binding::new(export, b"bound").unwrap();
        let named = [attacker.agree(key.public().bytes()), attacker.agree(victim.public().bytes())]
            .map(|agreed| binding.proof(&agreed.unwrap(), &victim.public()).unwrap());
        let Opened { proofs, .. } = opened(&key, sealer);
        assert!(proofs.holds(&victim.public(), &theirs));
        assert!(proofs.holds(&attacker.public(), &own));
        assert!(!proofs.holds(&victim.public(), &own));
        assert!(!proofs.holds(&attacker.public(), &theirs));
        for forged in named {
            assert!(!proofs.holds(&victim.public(), &forged));
        }
        for bit in 0..256 {
            let mut spoilt = *theirs.bytes();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            assert!(!proofs.holds(&victim.public(), &KeyProof::from_bytes(spoilt)), "{bit}");
        }
    }

    #[test]
    fn a_proof_is_good_in_its_own_request_only() {
        let key = OpeningKey::generate(&mut system_rng());
        let device = device(1);
        let present = sealer(&key, INFO, b"bound");
        let good = present.prove(&device).unwrap();
        let other_recipient = OpeningKey::generate(&mut system_rng());
        let elsewhere = [
            sealer(&key, INFO, b"bound"),
            sealer(&key, b"v2 test", b"bound"),
            sealer(&other_recipient, INFO, b"bound"),
        ];
        let Opened { proofs, .. } = opened(&key, present);
        assert!(proofs.holds(&device.public(), &good));
        for other in elsewhere {
            assert!(!proofs.holds(&device.public(), &other.prove(&device).unwrap()));
        }
    }

    /// Also where everything else is the same: nothing but the associated data tells these apart.
    #[test]
    fn a_proof_is_bound_to_the_associated_data() {
        let key = OpeningKey::generate(&mut system_rng());
        let device = device(1);
        let context = |bound| Sealer::new(key.public(), INFO, bound, &mut Always(3)).unwrap();
        let moved = context(b"other").prove(&device).unwrap();
        let Opened { proofs, .. } = opened(&key, context(b"bound"));
        assert!(!proofs.holds(&device.public(), &moved));
    }
}
