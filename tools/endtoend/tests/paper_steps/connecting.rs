//! Steps 23 to 25: from an access token to a web server.

use std::time::Duration;

use anyhow::Result;
use coarse::{Secret, system_rng};
use endtoend::customer::Customer;
use endtoend::evidence::{Received, Stored};
use endtoend::scene::shared;
use endtoend::services::now;
use endtoend::{keys, tunnel};
use gateway_api::Peer;
use jws::{Compact, SigningKey};
use lease::{DAT_LIFE, Dat};
use peer_key::PeerSecret;

#[test]
fn step_23_the_gateway_gets_the_dat() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (srt, leased) = customer.lease()?;
    let (dat, device) = (&leased.minted.dat, customer.device.public());
    let peer: Peer = customer.services.add_peer(dat, device)?.json()?;
    assert_eq!(peer.exit_address, leased.minted.ip);
    assert_eq!(peer.ends, leased.minted.dat_ends);
    assert_eq!(peer.tunnel, leased.gateway.tunnel);
    // It got the access token and neither the refresh token nor whose it is.
    let received = Received::by(town, "gateway")?;
    assert!(received.holds(dat.as_str().as_bytes()));
    let drt = leased.minted.drt.as_str().as_bytes();
    for secret in [drt, srt.as_str().as_bytes(), customer.subscription.bytes()] {
        assert!(!received.holds(secret));
    }
    Ok(())
}

#[test]
fn step_24_the_gateway_checks_the_dat() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (_, leased) = customer.lease()?;
    let device = customer.device.public();
    let claims = Dat::new(leased.minted.ip, leased.minted.region.clone(), &device);
    let key = keys::minting_key(town)?;
    let stranger = SigningKey::from_seed(&Secret::random(&mut system_rng()))?;
    let elsewhere = Dat::new("127.78.0.1".parse()?, leased.minted.region.clone(), &device);
    let ended = now().minus(DAT_LIFE + Duration::from_secs(7200));
    let cut = leased.minted.dat.as_str();
    for (dat, refusal) in [
        (claims.sign(&stranger, now())?, (401, "dat-refused")),
        (Compact::new(cut[..cut.len() - 1].to_owned()), (401, "dat-refused")),
        (claims.sign(&key, ended)?, (401, "dat-expired")),
        (elsewhere.sign(&key, now())?, (422, "address-not-served")),
    ] {
        assert_eq!(customer.services.add_peer(&dat, device)?.refusal(), refusal);
    }
    let other = PeerSecret::random(&mut system_rng()).public();
    let refused = customer.services.add_peer(&leased.minted.dat, other)?;
    assert_eq!(refused.refusal(), (403, "device-mismatch"));
    let grants = "grants WHERE device IN (?1, ?2)";
    let both = [device.bytes(), other.bytes()];
    assert_eq!(Stored::by(town, "gateway")?.count(grants, both)?, 0);
    assert_eq!(customer.services.add_peer(&leased.minted.dat, device)?.status, 200);
    assert_eq!(Stored::by(town, "gateway")?.count(grants, both)?, 1);
    Ok(())
}

#[test]
fn step_25_the_tunnel_leaves_from_the_dedicated_address() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (_, leased) = customer.lease()?;
    let answer = customer.services.add_peer(&leased.minted.dat, customer.device.public())?;
    let peer: Peer = answer.json()?;
    let tunnel = tunnel::open(&customer.device, &peer)?;
    let seen = tunnel::seen(tunnel.proxy_addr(), town.web_address())?;
    assert_eq!(seen, leased.minted.ip.source());
    assert_ne!(seen, town.web_address().ip());
    tunnel.shutdown();
    // A device that was not let in gets no tunnel.
    let stranger = PeerSecret::random(&mut system_rng());
    assert_eq!(customer.services.add_peer(&leased.minted.dat, stranger.public())?.status, 403);
    let grants = "grants WHERE device = ?1";
    assert_eq!(Stored::by(town, "gateway")?.count(grants, [stranger.public().bytes()])?, 0);
    Ok(())
}
