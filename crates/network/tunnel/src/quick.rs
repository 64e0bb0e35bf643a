//! A configuration file for anybody's WireGuard: the form that `wg-quick` and the official apps read.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use zeroize::Zeroizing;

use peer_key::{PeerKey, PeerSecret};

/// What a stock WireGuard client needs to use an exit.
pub struct QuickConfig<'a> {
    /// The device's own key.
    pub secret_key: &'a PeerSecret,
    /// The device's address inside the tunnel.
    pub inner_address: Ipv4Addr,
    /// The resolver inside the tunnel: the exit's inner address.
    pub resolver: IpAddr,
    /// Largest inner packet, in bytes.
    pub mtu: u16,
    /// The exit's key.
    pub peer_public_key: PeerKey,
    /// Where the exit listens.
    pub peer_endpoint: SocketAddr,
    /// Seconds between keepalives, for devices behind a NAT.
    pub keepalive: Option<u16>,
}

/// Renders the file: all IPv4 traffic goes into the tunnel. It holds the secret key, so it is wiped on
/// drop and belongs in a file that only its owner can read.
#[must_use]
pub fn wg_quick_config(config: &QuickConfig<'_>) -> Zeroizing<String> {
    // Room for everything at once: a buffer that grows leaves copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(512));
    let secret_key = config.secret_key.to_base64();
    for part in ["[Interface]\nPrivateKey = ", secret_key.expose(), "\n"] {
        text.push_str(part);
    }
    // Writing to a string can't fail.
    let _ = write!(
        text,
        "Address = {}/32\nDNS = {}\nMTU = {}\n\n[Peer]\nPublicKey = {}\nEndpoint = {}\n\
         AllowedIPs = 0.0.0.0/0\n",
        config.inner_address,
        config.resolver,
        config.mtu,
        config.peer_public_key,
        config.peer_endpoint
    );
    if let Some(seconds) = config.keepalive {
        let _ = writeln!(text, "PersistentKeepalive = {seconds}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_a_stock_client_expects() {
        let secret_key = PeerSecret::from_bytes(&coarse::Secret::new([1; 32]));
        let peer_public_key = PeerSecret::from_bytes(&coarse::Secret::new([2; 32])).public();
        let mut config = QuickConfig {
            secret_key: &secret_key,
            inner_address: Ipv4Addr::new(100, 64, 7, 9),
            resolver: Ipv4Addr::new(100, 64, 0, 1).into(),
            mtu: 1420,
            peer_public_key,
            peer_endpoint: "[2001:db8::1]:51820".parse().unwrap(),
            keepalive: Some(25),
        };
        let expected = format!(
            "[Interface]\nPrivateKey = {}\nAddress = 100.64.7.9/32\nDNS = 100.64.0.1\nMTU = 1420\n\n\
             [Peer]\nPublicKey = {peer_public_key}\nEndpoint = [2001:db8::1]:51820\n\
             AllowedIPs = 0.0.0.0/0\nPersistentKeepalive = 25\n",
            secret_key.to_base64().expose()
        );
        assert_eq!(*wg_quick_config(&config), expected);
        config.keepalive = None;
        assert!(!wg_quick_config(&config).contains("Keepalive"));
    }
}
