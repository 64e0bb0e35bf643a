//! What the state directory holds beside the grants: the gateway's WireGuard key.

use std::path::Path;

use anyhow::Context as _;
use peer_key::PeerSecret;
use service::CouldNotTry;

/// The gateway's WireGuard key, made at first use.
pub(crate) fn tunnel_key(state: &Path) -> anyhow::Result<PeerSecret> {
    const UNUSABLE: CouldNotTry = CouldNotTry("the WireGuard key can't be read");
    let keys = state.join("keys");
    store::private_directory(&keys).context(UNUSABLE)?;
    let bytes = store::load_or_create(&keys.join("wireguard.key"), &mut coarse::system_rng());
    Ok(PeerSecret::from_bytes(&bytes.context(UNUSABLE)?))
}
