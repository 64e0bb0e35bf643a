//! What the state directory holds beside the grants: the ring of the gateway's WireGuard keys.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use coarse::{Clock as _, Secret, SystemClock};
use key_ring::{Fresh, Key, RingFile, Role, Rules, Standing};
use peer_key::PeerSecret;
use service::CouldNotTry;
use zeroize::Zeroizing;

/// The key that tunnels end with. Devices are told the present one when they show their access token, so that a new one needs no notice;
/// and a tunnel, with what its device was told, ends with that token.
pub(crate) const WIREGUARD_ROLE: Role = Role {
    name: "wireguard",
    rules: Rules { notice: Duration::ZERO, overlap: lease::DAT_LIFE, most: 8 },
    cost: "tunnels to it end when the gateway starts again, until their devices connect anew",
    former_keys_work: true,
};

/// The keys that tunnels end with.
pub(crate) struct TunnelKeys {
    /// What devices are told.
    pub(crate) current: PeerSecret,
    /// What devices were told before.
    pub(crate) former: Vec<PeerSecret>,
}

impl TunnelKeys {
    /// The ring's; the first key is made at first use.
    pub(crate) fn load(state: &Path) -> anyhow::Result<Self> {
        const UNUSABLE: CouldNotTry = CouldNotTry("the WireGuard keys can't be read");
        let file = RingFile::of(state, WIREGUARD_ROLE.name);
        file.change(SystemClock.now(), fresh_key, |_| Ok(())).context(UNUSABLE)?;
        let ring = file.read().context(UNUSABLE)?.context(UNUSABLE)?;
        let former = ring.keys().filter(|key| key.standing == Standing::Former);
        Ok(Self {
            current: ring.current().and_then(secret).context(UNUSABLE)?,
            former: former.map(|key| secret(key).context(UNUSABLE)).collect::<Result<_, _>>()?,
        })
    }
}

/// A key's secret, if it is that of its public part.
fn secret(key: &Key) -> Option<PeerSecret> {
    let secret = PeerSecret::from_bytes(&Secret::new(key.secret()?.try_into().ok()?));
    (*secret.public().bytes() == key.public()).then_some(secret)
}

/// A new key for the ring.
pub(crate) fn fresh_key() -> anyhow::Result<Fresh> {
    let secret = PeerSecret::random(&mut coarse::system_rng());
    let public = secret.public();
    Ok(Fresh {
        kid: public.thumbprint(),
        public: *public.bytes(),
        secret: Zeroizing::new(secret.expose().to_vec()),
    })
}
