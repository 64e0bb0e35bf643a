//! Services' addresses, and WireGuard configurations that are written for others. The first byte says which.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use coarse::Secret;
use http_client::BaseUrl;
use peer_key::{PeerKey, PeerSecret};
use tunnel::{QuickConfig, wg_quick_config};

use crate::input::{byte, tagged};

/// Reads an address, or writes a configuration.
pub(crate) fn check(input: &[u8]) {
    match byte(input) {
        Some((kind, rest)) if kind % 2 == 0 => url(rest),
        Some((_, rest)) => configuration(rest),
        None => {}
    }
}

/// A base URL, a line break, a path.
fn url(rest: &[u8]) {
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (base, path) = text.split_once('\n').unwrap_or((text, "/"));
    if let Ok(address) = base.parse::<SocketAddr>() {
        // Link-local scopes have no place in a URL.
        assert!(BaseUrl::plain(address).is_ok() || base.contains('%'));
    }
    let Ok(base) = base.parse::<BaseUrl>() else { return };
    let written = base.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&base), "it is read as it is written");
    assert!(written.starts_with("http://") || written.starts_with("https://"));
    let authority = base.authority();
    assert!(!authority.is_empty() && !authority.contains(['@', '/', '?', '#', '\\', ' ']));
    let Ok(uri) = base.join(path) else { return };
    assert!(path.starts_with('/'));
    // Whatever the path, the request goes to the base's host and port.
    assert_eq!(uri.authority().map(|it| it.as_str()), Some(authority));
    let again: http::Uri = uri.to_string().parse().expect("a URL");
    assert_eq!(again.authority(), uri.authority());
    assert_eq!(again.path_and_query(), uri.path_and_query());
}

/// A file for a stock client says what it was made of, line by line.
fn configuration(rest: &[u8]) {
    let Some((secret, rest)) = rest.split_first_chunk::<32>() else { return };
    let Some((peer, rest)) = rest.split_first_chunk::<32>() else { return };
    let Some((&[a, b, c, d, e, f, g, h, m, n, p, q, k, l], host)) = rest.split_first_chunk() else {
        return;
    };
    let Ok(peer) = PeerKey::from_bytes(*peer) else { return };
    let secret = PeerSecret::from_bytes(&Secret::new(*secret));
    let port = u16::from_be_bytes([p, q]);
    let endpoint = match <[u8; 16]>::try_from(host) {
        Ok(host) => SocketAddr::new(host.into(), port),
        Err(_) => SocketAddr::new([m, n, k, l].into(), port),
    };
    let config = QuickConfig {
        secret_key: &secret,
        inner_address: [a, b, c, d].into(),
        resolver: [e, f, g, h].into(),
        mtu: u16::from_be_bytes([m, n]),
        peer_public_key: peer,
        peer_endpoint: endpoint,
        keepalive: (k > 0).then_some(u16::from_be_bytes([k, l])),
    };
    let text = wg_quick_config(&config);
    let read = sections(&text);
    let says = |key: (&str, &str)| read.get(&(key.0.into(), key.1.into())).map(String::as_str);
    assert_eq!(says(("Interface", "PrivateKey")), Some(secret.to_base64().expose()));
    let address = format!("{}/32", config.inner_address);
    assert_eq!(says(("Interface", "Address")), Some(address.as_str()));
    assert_eq!(says(("Interface", "DNS")), Some(config.resolver.to_string().as_str()));
    assert_eq!(says(("Interface", "MTU")), Some(config.mtu.to_string().as_str()));
    assert_eq!(says(("Peer", "PublicKey")).and_then(|key| key.parse().ok()), Some(peer));
    assert_eq!(says(("Peer", "Endpoint")).and_then(|end| end.parse().ok()), Some(endpoint));
    assert_eq!(says(("Peer", "AllowedIPs")), Some("0.0.0.0/0"));
    let keepalive = says(("Peer", "PersistentKeepalive")).map(str::parse);
    assert_eq!(keepalive, config.keepalive.map(Ok));
    assert_eq!(read.len(), 7 + usize::from(config.keepalive.is_some()), "nothing else is said");
}

/// A configuration as wg-quick reads it: keys and values by section, each once.
fn sections(text: &str) -> BTreeMap<(String, String), String> {
    let (mut section, mut all) = ("", BTreeMap::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else {
            let (key, value) = line.split_once('=').expect("a key and a value");
            let place = (section.to_owned(), key.trim().to_owned());
            assert!(all.insert(place, value.trim().to_owned()).is_none(), "{key} is said once");
        }
    }
    all
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let urls = [
        "http://127.0.0.1:3004\n/api/v1/srt",
        "https://accounts.example\n/x?y=z",
        "http://[::1]:80/\n/",
        "http://user@host:1",
        "http://host:\n//other/",
        "127.0.0.1:1",
        "[fe80::1%1]:2",
    ];
    let mut seeds: Vec<Vec<u8>> = urls.iter().map(|url| tagged(0, url)).collect();
    let mut parts = [1; 32].to_vec();
    parts.extend([9; 32]);
    parts.extend([100, 64, 0, 2, 100, 64, 0, 1, 5, 0x8c, 0xca, 0x6c, 0, 25]);
    seeds.push(tagged(1, &parts));
    parts.extend("2001:db8::1".parse::<std::net::Ipv6Addr>().expect("an address").octets());
    seeds.push(tagged(1, &parts));
    seeds
}
