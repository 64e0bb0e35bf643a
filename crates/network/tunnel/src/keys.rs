//! Keys, as the WireGuard engine takes them.

use gotatun::x25519;
use peer_key::{PeerKey, PeerSecret};

/// The engine's form of a key.
pub(crate) trait ToX25519 {
    /// That form.
    type Form;
    /// The same key in it.
    fn to_x25519(&self) -> Self::Form;
}

impl ToX25519 for PeerKey {
    type Form = x25519::PublicKey;

    fn to_x25519(&self) -> x25519::PublicKey {
        x25519::PublicKey::from(*self.bytes())
    }
}

impl ToX25519 for PeerSecret {
    type Form = x25519::StaticSecret;

    fn to_x25519(&self) -> x25519::StaticSecret {
        x25519::StaticSecret::from(*self.expose())
    }
}
