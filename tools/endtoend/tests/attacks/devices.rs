//! Access tokens at the gateway: stolen ones, other tokens in their place, keys that are none, and other people's
//! tunnels.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use coarse::{Secret, system_rng};
use endtoend::customer::{
    Customer, refusal, seal_assignment, seal_bytes, seal_refresh, seal_refresh_bytes,
};
use endtoend::keys;
use endtoend::rows::Rows;
use endtoend::services::{ask, ask_inside, now};
use endtoend::tunnel::{self, CONNECTED, REFUSED};
use gateway_api::{DEVICES, Devices, PEERS, Peer, REMOVE_DEVICE, RESTORE_DEVICE};
use http::Method;
use jws::{Compact, KeySet, SigningKey};
use lease::{DAT_LIFE, Dat, Grant, Order, lease_end};
use minting::{RefreshRequest, Refusal};
use peer_key::{PeerSecret, Thumbprint};
use privacy_pass::SpendHash;
use seal::{AnswerKey, KeyProof, Sealer};
use serde_json::{Value, json};
use wire::envelope::{ASSIGN, REFRESH};

use crate::TOWN;
use crate::forge::{altered, jws, parts, with, without};

#[test]
fn whatever_is_no_access_token_opens_nothing() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (srt, leased) = customer.lease()?;
    let (dat, device) = (&leased.minted.dat, customer.device.public());
    let (header, claims) = parts(dat)?;
    let (ip, region) = (leased.minted.ip, leased.minted.region.clone());
    let claimed = Dat::new(ip, region.clone(), &device);
    let (minting, seed) = (keys::minting_key(&town)?, keys::minting_seed(&town)?);
    let signed = |claims: &Value| jws(&header, claims, &seed);
    let token = SpendHash::from_bytes([1; 32]);
    let lease = leased.minted.lease;
    let order = Order { lease, ip, region: region.clone(), token, frozen: false, notice: None };
    let grant = Grant { lease, token, ends: lease_end(now()) };
    let wireguard = keys::seed(&town, "gateway", "wireguard")?;
    let role = |key: &SigningKey| claimed.sign(key, now());
    let elsewhere = Dat::new("127.78.0.1".parse()?, region, &device);
    let ended = now().minus(DAT_LIFE + Duration::from_secs(7200));
    let half = dat.as_str().len() / 2;
    let none = (401, "dat-refused");
    let before = Rows::of(&town)?;
    for (what, shown, expected) in [
        ("the refresh token", leased.minted.drt.clone(), none),
        ("the subscription's receipt", srt, none),
        ("an order", order.sign(&keys::order_key(&town)?, now())?, none),
        ("a grant", grant.sign(&minting)?, none),
        // Every other key of the provider: one role can't do another's.
        ("accounts' own", role(&keys::srt_key(&town)?)?, none),
        ("the blind token service's own", role(&keys::issuance_key(&town)?)?, none),
        ("the DIP service's own", role(&keys::order_key(&town)?)?, none),
        ("the gateway's own", role(&SigningKey::from_seed(&wireguard)?)?, none),
        ("a stranger's", role(&SigningKey::from_seed(&Secret::random(&mut system_rng()))?)?, none),
        (
            "the DIP service's under the enclave's name",
            jws(&header, &claims, &keys::seed(&town, "dip", "order")?)?,
            none,
        ),
        ("for the enclave", signed(&with(&claims, "aud", json!(["enclave"])))?, none),
        ("by accounts", signed(&with(&claims, "iss", "accounts"))?, none),
        ("without end", signed(&without(&claims, "exp"))?, none),
        ("for no address", signed(&without(&claims, "dip_details"))?, none),
        ("for no device", signed(&without(&claims, "cnf"))?, none),
        ("not signed", altered(dat, &with(&header, "alg", "none"), &claims)?, none),
        (
            "with another address on it",
            altered(dat, &header, &with(&claims, "dip_details", json!({"ip": "127.77.0.200"})))?,
            none,
        ),
        ("cut", Compact::new(dat.as_str()[..half].to_owned()), none),
        ("nothing", Compact::new(String::new()), none),
        ("expired", claimed.sign(&minting, ended)?, (401, "dat-expired")),
        ("for another gateway", elsewhere.sign(&minting, now())?, (422, "address-not-served")),
    ] {
        let refused = customer.services.add_peer(&shown, device)?;
        assert_eq!(refused.refusal(), expected, "{what}");
    }
    before.unchanged(&town)?;
    assert_eq!(customer.services.add_peer(dat, device)?.status, 200);
    Ok(())
}

#[test]
fn a_stolen_dat_opens_nothing() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (_, leased) = customer.lease()?;
    let thief = PeerSecret::random(&mut system_rng());
    let before = Rows::of(&town)?;
    let refused = customer.services.add_peer(&leased.minted.dat, thief.public())?;
    assert_eq!(refused.refusal(), (403, "device-mismatch"));
    let refused = customer.services.add_peer(&leased.minted.drt, thief.public())?;
    assert_eq!(refused.refusal(), (401, "dat-refused"));
    before.unchanged(&town)
}

/// The points of small order of Curve25519 and its twist (as <https://cr.yp.to/ecdh.html> lists them), the same and
/// others above the prime, and the base point with the bit set that X25519 ignores.
const NO_KEYS: [&str; 14] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
    "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
    "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0900000000000000000000000000000000000000000000000000000000000080",
];

#[test]
fn keys_that_are_none_get_no_token_and_no_tunnel() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (srt, leased) = customer.lease()?;
    let waiting = Customer::new(&town)?;
    let bought = waiting.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    let (services, enclave) = (&customer.services, customer.services.attest()?);
    let (header, claims) = parts(&leased.minted.dat)?;
    let (seed, lease) = (keys::minting_seed(&town)?, leased.minted.lease);
    let content: Value = serde_json::from_slice(
        &waiting.content(&bought)?.encode().ok_or_else(|| anyhow::anyhow!("no content"))?,
    )?;
    let before = Rows::of(&town)?;
    for bytes in NO_KEYS {
        let bytes = hex::decode(bytes)?;
        let device = STANDARD.encode(&bytes);
        // With a token that names it, signed by the enclave's own key: that can't come to be.
        let x = URL_SAFE_NO_PAD.encode(&bytes);
        let jwk = format!(r#"{{"crv":"X25519","kty":"OKP","x":"{x}"}}"#);
        let jkt = URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()));
        let dat = jws(&header, &with(&claims, "cnf", json!({"jkt": jkt})), &seed)?;
        let body = json!({"dat": dat, "device": device}).to_string().into_bytes();
        let kind = [("content-type", "application/json")];
        let refused = ask(Method::POST, &services.gateway, PEERS, &kind, body)?;
        assert_eq!(refused.status, 422, "{device}");
        // Nor does the enclave mint for it: at an assignment, and at a refresh.
        let content = with(&content, "device", device.clone()).to_string();
        let (sealed, key) = seal_bytes(content.as_bytes(), &hash, &enclave)?;
        let answer: dip_api::Assigned = waiting.present(&bought.drawn, &sealed)?.json()?;
        assert_eq!(refusal(&key, &answer.sealed.0)?, Refusal::Malformed, "{device}");
        let content = json!({"srt": srt, "drt": leased.minted.drt, "device": device}).to_string();
        let (sealed, key) = seal_refresh_bytes(content.as_bytes(), lease, &enclave)?;
        let answer: dip_api::Refreshed = services.refresh(lease, &sealed)?.json()?;
        assert_eq!(refusal(&key, &answer.sealed.0)?, Refusal::Malformed, "{device}");
    }
    before.only_reserved(&town, &hash)
}

/// Whoever knows another's device key, and has a token and a lease of their own, gets no access token that names it.
#[test]
fn a_device_is_named_by_its_holder_only() -> Result<()> {
    let town = TOWN.lock()?;
    let (victim, attacker) = (Customer::new(&town)?, Customer::new(&town)?);
    victim.lease()?;
    let (srt, own) = attacker.lease()?;
    let waiting = Customer::new(&town)?;
    let bought = waiting.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    let (services, enclave) = (&attacker.services, attacker.services.attest()?);
    let (lease, device) = (own.minted.lease, victim.device.public());
    let mut assign = waiting.content(&bought)?;
    assign.device = device;
    let drt = own.minted.drt.clone();
    let mut refresh =
        RefreshRequest { srt: srt.clone(), drt, device, device_proof: None, give_back: false };
    // What the victim proved in requests of their own, even for this very token and lease, had it leaked.
    let proven = |info, bound| -> Result<_> {
        let sealer = Sealer::new(&enclave.sealing_key, info, bound, &mut system_rng())?;
        Ok(Some(sealer.prove(&victim.device)?))
    };
    let zeros = Some(KeyProof::from_bytes([0; 32]));
    let proofs = [
        ("none", None, None),
        ("zeros", zeros.clone(), zeros),
        ("replayed", proven(ASSIGN, hash.as_bytes())?, proven(REFRESH, lease.bytes())?),
    ];
    let before = Rows::of(&town)?;
    let refreshed = |(sealed, key): (Vec<u8>, AnswerKey)| -> Result<Refusal> {
        let answer: dip_api::Refreshed = services.refresh(lease, &sealed)?.json()?;
        refusal(&key, &answer.sealed.0)
    };
    for (what, _, proof) in &proofs {
        refresh.device_proof.clone_from(proof);
        let content = refresh.encode().context("it can't be written")?;
        let sealed = seal_refresh_bytes(&content, lease, &enclave)?;
        assert_eq!(refreshed(sealed)?, Refusal::Device, "{what}");
    }
    let by_another_key = seal_refresh(&refresh, &attacker.device, lease, &enclave)?;
    assert_eq!(refreshed(by_another_key)?, Refusal::Device);
    before.unchanged(&town)?;
    let assigned = |(sealed, key): (Vec<u8>, AnswerKey)| -> Result<Refusal> {
        let answer: dip_api::Assigned = waiting.present(&bought.drawn, &sealed)?.json()?;
        refusal(&key, &answer.sealed.0)
    };
    for (what, proof, _) in &proofs {
        assign.device_proof.clone_from(proof);
        let content = assign.encode().context("it can't be written")?;
        let sealed = seal_bytes(&content, &hash, &enclave)?;
        assert_eq!(assigned(sealed)?, Refusal::Device, "{what}");
    }
    let by_another_key = seal_assignment(&assign, &waiting.device, &hash, &enclave)?;
    assert_eq!(assigned(by_another_key)?, Refusal::Device);
    before.only_reserved(&town, &hash)?;
    // It cost nobody anything: token and lease are good for devices of their owners' own.
    waiting.assign(&bought)?;
    attacker.refresh(&srt, &own)?;
    Ok(())
}

#[test]
fn a_token_touches_no_other_leases_tunnel() -> Result<()> {
    let town = TOWN.lock()?;
    let (victim, attacker) = (Customer::new(&town)?, Customer::new(&town)?);
    let (srt, theirs) = victim.lease()?;
    let (_, own) = attacker.lease()?;
    let services = &victim.services;
    let web = town.web_address();
    let peer: Peer = services.add_peer(&theirs.minted.dat, victim.device.public())?.json()?;
    let tunnel = tunnel::open(&victim.device, &peer)?;
    assert_eq!(tunnel::seen(tunnel.proxy_addr(), web)?, theirs.minted.ip.ip());
    services.add_peer(&own.minted.dat, attacker.device.public())?.json::<Peer>()?;
    let before = Rows::of(&town)?;
    // One's own token for the other's device, and the other's token for one's own.
    for (dat, device) in [(&own, &victim.device), (&theirs, &attacker.device)] {
        let refused = services.add_peer(&dat.minted.dat, device.public())?;
        assert_eq!(refused.refusal(), (403, "device-mismatch"));
    }
    // The other's own, stolen, for their own device: the old one after the new one shortens nothing.
    let refreshed = victim.refresh(&srt, &theirs)?;
    services.add_peer(&refreshed.dat, victim.device.public())?.json::<Peer>()?;
    services.add_peer(&theirs.minted.dat, victim.device.public())?.json::<Peer>()?;
    // There is nothing else to ask of the control interface: a peer is neither listed nor removed.
    for (method, path) in [
        (Method::GET, DEVICES.to_owned()),
        (Method::POST, REMOVE_DEVICE.to_owned()),
        (Method::POST, RESTORE_DEVICE.to_owned()),
        (Method::GET, PEERS.to_owned()),
        (Method::DELETE, PEERS.to_owned()),
        (Method::DELETE, format!("{PEERS}/{}", hex::encode(victim.device.public().bytes()))),
        (Method::PUT, PEERS.to_owned()),
    ] {
        let refused = ask(method, &services.gateway, &path, &[], vec![])?;
        assert!(matches!(refused.status, 404 | 405), "{}", refused.status);
    }
    let after = Rows::of(&town)?;
    assert_eq!(after.count(), before.count());
    // From inside one's own tunnel the other's device is nobody's.
    let answer = services.add_peer(&own.minted.dat, attacker.device.public())?;
    let (peer, victims) = (answer.json::<Peer>()?, Thumbprint::from(&victim.device.public()));
    let attackers = tunnel::open(&attacker.device, &peer)?;
    for path in [REMOVE_DEVICE, RESTORE_DEVICE] {
        let named = json!({"device": victims});
        let refused = ask_inside(attackers.proxy_addr(), &peer, Method::POST, path, &named)?;
        assert_eq!(refused.refusal(), (404, "device-unknown"));
    }
    let listed = ask_inside(attackers.proxy_addr(), &peer, Method::GET, DEVICES, &json!({}))?;
    let listed = listed.json::<Devices>()?.devices;
    assert!(listed.len() == 1 && listed[0].this && listed[0].device != victims);
    after.unchanged(&town)?;
    assert_eq!(tunnel::seen(tunnel.proxy_addr(), web)?, theirs.minted.ip.ip());
    // Who holds no private key that was let in gets no answer from the tunnel's end.
    let stranger = PeerSecret::random(&mut system_rng());
    assert!(services.add_peer(&own.minted.dat, stranger.public())?.status == 403);
    Ok(())
}

#[test]
fn a_dat_that_is_shown_twice_changes_nothing() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (_, leased) = customer.lease()?;
    let (dat, device) = (&leased.minted.dat, customer.device.public());
    let first: Peer = customer.services.add_peer(dat, device)?.json()?;
    let tunnel = tunnel::open(&customer.device, &first)?;
    let web = town.web_address();
    assert_eq!(tunnel::seen(tunnel.proxy_addr(), web)?, leased.minted.ip.ip());
    let before = Rows::of(&town)?;
    let again: Peer = customer.services.add_peer(dat, device)?.json()?;
    assert_eq!(first, again);
    // The open tunnel goes on.
    assert_eq!(tunnel::seen(tunnel.proxy_addr(), web)?, leased.minted.ip.ip());
    before.unchanged(&town)
}

#[test]
fn identity_services_are_out_of_the_tunnels_reach() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (_, leased) = customer.lease()?;
    let answer = customer.services.add_peer(&leased.minted.dat, customer.device.public())?;
    let tunnel = tunnel::open(&customer.device, &answer.json()?)?;
    let said = |to: SocketAddr| tunnel::connect(tunnel.proxy_addr(), to).map(|(_, code)| code);
    for service in ["accounts", "issuer"] {
        let url = town.url(service)?;
        let address = url.trim_start_matches("http://").parse()?;
        assert_eq!(said(address)?, REFUSED, "{service}");
    }
    assert_eq!(said(town.web_address())?, CONNECTED);
    Ok(())
}

/// What the tests above take for granted: the enclave's key is the one that the attestation names.
#[test]
fn the_minting_key_is_the_attested_one() -> Result<()> {
    let town = TOWN.lock()?;
    let attested = Customer::new(&town)?.services.attest()?.minting_keys;
    let key = keys::minting_key(&town)?;
    let names = |keys: &KeySet| keys.iter().map(|key| *key.bytes()).collect::<Vec<_>>();
    assert_eq!(names(&attested), names(&KeySet::from(key.verifying_key())));
    Ok(())
}
