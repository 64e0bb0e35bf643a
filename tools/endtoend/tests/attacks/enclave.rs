//! The enclave's door: without the DIP service's own order for this very request nothing is minted, and a sealed
//! request is for one token, or one lease.

use anyhow::Result;
use aws_lc_rs::digest::{SHA256, digest};
use coarse::{Secret, system_rng};
use dip_api::Assigned;
use encoding::Base64Url;
use endtoend::customer::{Bought, Customer, open, refusal, seal_refresh};
use endtoend::evidence::Stored;
use endtoend::keys;
use endtoend::rows::Rows;
use endtoend::scene::Scene;
use endtoend::services::{REGION, ask};
use http::Method;
use jws::{Compact, SigningKey};
use lab::Town;
use lease::{
    Dat, ExitAddress, Extension, ExtensionOrder, Grant, LeaseId, Notice, ORDER_LIFE, Order,
    RequestHash, lease_end,
};
use minting::{Answer, Drt, RefreshRequest, Refusal};
use serde_json::json;
use wallet::{AnswerError, Leased};
use wire::http::{GENERATE_TOKENS, MintResponse, REFRESH_TOKENS};

use endtoend::services::now;

use crate::TOWN;
use crate::forge::{altered, parts, with, without};

const ORDER: (u16, &str) = (403, "order-refused");
const UNOPENABLE: (u16, &str) = (422, "sealed-request-unopenable");

/// The address that is held for a lease.
fn address_of(town: &Town, lease: LeaseId) -> Result<ExitAddress> {
    let sql = "SELECT ip FROM leases WHERE lease = ?1";
    let bytes: Vec<u8> = Stored::by(town, "dip")?.value(sql, [lease.bytes()])?;
    Ok(ExitAddress::from_bytes(&bytes)?)
}

/// The order that the DIP service gave for a token.
fn order_for(town: &Town, bought: &Bought, lease: LeaseId) -> Result<Order> {
    let token = bought.drawn.token()?.spend_hash();
    let ip = address_of(town, lease)?;
    Ok(Order { lease, ip, region: REGION.parse()?, token, frozen: false, notice: None })
}

fn hash(sealed: &[u8]) -> Result<RequestHash> {
    Ok(RequestHash(digest(&SHA256, sealed).as_ref().try_into()?))
}

/// Everything that isn't this order by the DIP service.
fn no_orders(town: &Town, good: &Compact) -> Result<Vec<(&'static str, Compact)>> {
    let (header, claims) = parts(good)?;
    let seed = |service, name| keys::seed(town, service, name);
    let ended = with(&claims, "exp", now().minus(ORDER_LIFE).seconds());
    let by = |seed: &Secret<32>| crate::forge::jws(&header, &claims, seed);
    let text = good.as_str();
    Ok(vec![
        ("none", Compact::new(String::new())),
        ("nonsense", Compact::new("a.b.c".into())),
        ("cut", Compact::new(text[..text.len() - 1].to_owned())),
        ("a stranger's", by(&Secret::random(&mut system_rng()))?),
        ("accounts' own", by(&seed("accounts", "srt")?)?),
        ("the blind token service's own", by(&seed("issuer", "issuance-receipt")?)?),
        ("the gateway's own", by(&seed("gateway", "wireguard")?)?),
        ("the enclave's own", by(&keys::minting_seed(town)?)?),
        ("for another address", altered(good, &header, &with(&claims, "ip", "127.77.0.9"))?),
        ("for another lease", altered(good, &header, &with(&claims, "lease", "0".repeat(32)))?),
        ("not signed", altered(good, &with(&header, "alg", "none"), &claims)?),
        ("one that has ended", crate::forge::jws(&header, &ended, &seed("dip", "order")?)?),
        (
            "one without end",
            crate::forge::jws(&header, &without(&claims, "exp"), &seed("dip", "order")?)?,
        ),
        (
            "for the gateway",
            crate::forge::jws(
                &header,
                &with(&claims, "aud", json!(["gateway"])),
                &seed("dip", "order")?,
            )?,
        ),
    ])
}

#[test]
fn nothing_is_minted_without_the_dip_services_order() -> Result<()> {
    let town = TOWN.lock()?;
    let (customer, other) = (Customer::new(&town)?, Customer::new(&town)?);
    let (bought, theirs) = (customer.buy()?, other.buy()?);
    let services = &customer.services;
    let enclave = services.attest()?;
    let (sealed, hash_of_token) = customer.seal(&bought, &enclave)?;
    let other_sealed = other.seal(&theirs, &enclave)?.0;
    let assigned: Assigned = other.present(&theirs.drawn, &other_sealed.request)?.json()?;
    let key = keys::order_key(&town)?;
    // Somebody with a token who reaches the parent, past the DIP service: for an address of their choice.
    let wished = Order {
        lease: LeaseId::random(&mut system_rng()),
        ip: address_of(&town, assigned.lease)?,
        region: REGION.parse()?,
        token: hash_of_token,
        frozen: false,
        notice: None,
    };
    let good = wished.sign(&key, now())?;
    let before = Rows::of(&town)?;
    for (what, order) in no_orders(&town, &good)? {
        assert_eq!(services.mint(&order, &sealed.request)?.refusal(), ORDER, "{what}");
        assert_eq!(services.mint_again(&order, &sealed.request)?.refusal(), ORDER, "{what}");
    }
    // Other kinds of what the DIP service, or the enclave, signs.
    let minting = keys::minting_key(&town)?;
    let (lease, ends) = (wished.lease, lease_end(now()));
    let request = hash(&sealed.request)?;
    let extension = ExtensionOrder {
        lease,
        ip: wished.ip,
        region: wished.region.clone(),
        request,
        frozen: false,
        notice: None,
    };
    for order in [
        extension.sign(&key, now())?,
        Grant { lease, token: hash_of_token, ends }.sign(&minting)?,
        Extension { lease, request, ends }.sign(&minting)?,
        bought.srt.clone(),
    ] {
        assert_eq!(services.mint(&order, &sealed.request)?.refusal(), ORDER);
    }
    for order in [good.clone(), Grant { lease, token: hash_of_token, ends }.sign(&key)?] {
        assert_eq!(services.mint_again(&order, &sealed.request)?.refusal(), ORDER);
    }
    // No order at all, or two.
    let kind = [("content-type", "application/json")];
    let sealed_text = Base64Url(sealed.request.clone()).to_text();
    for path in [GENERATE_TOKENS, REFRESH_TOKENS] {
        for body in [
            json!({"sealed": sealed_text}).to_string(),
            json!({"order": null, "sealed": sealed_text}).to_string(),
            format!(
                "{{\"order\":\"a\",\"order\":\"{}\",\"sealed\":\"{sealed_text}\"}}",
                good.as_str()
            ),
        ] {
            let url = &services.provider.urls.enclave;
            assert_eq!(ask(Method::POST, url, path, &kind, body.into_bytes())?.status, 422);
        }
    }
    before.unchanged(&town)
}

#[test]
fn a_replayed_order_buys_nothing_new() -> Result<()> {
    let town = TOWN.lock()?;
    let (customer, other) = (Customer::new(&town)?, Customer::new(&town)?);
    let (bought, theirs) = (customer.buy()?, other.buy()?);
    let services = &customer.services;
    let enclave = services.attest()?;
    let (sealed, _) = customer.seal(&bought, &enclave)?;
    let assigned: Assigned = customer.present(&bought.drawn, &sealed.request)?.json()?;
    let device = customer.device.public();
    let first = sealed.open(&assigned.sealed.0, assigned.lease, &device, &enclave, now())?;
    // What the parent saw, minutes ago at most: the order and the envelope.
    let order = order_for(&town, &bought, assigned.lease)?.sign(&keys::order_key(&town)?, now())?;
    let before = Rows::of(&town)?;
    // As they were: the same lease and address for the same device once more, and only its holder can read them.
    let again: MintResponse = services.mint(&order, &sealed.request)?.json()?;
    let minted = sealed.open(&again.sealed.0, assigned.lease, &device, &enclave, now())?;
    assert_eq!((minted.lease, minted.ip), (first.lease, first.ip));
    assert!(
        other
            .seal(&theirs, &enclave)?
            .0
            .open(&again.sealed.0, assigned.lease, &device, &enclave, now())
            .is_err()
    );
    // With any other envelope it is worth nothing: not with another's token in it, nor with their own token's.
    let (mine, _) = other.seal(&theirs, &enclave)?;
    assert_eq!(services.mint(&order, &mine.request)?.refusal(), UNOPENABLE);
    let mut content = other.content(&theirs)?;
    content.token = bought.drawn.token()?;
    let token = bought.drawn.token()?.spend_hash();
    let (stolen, key) =
        endtoend::customer::seal_assignment(&content, &other.device, &token, &enclave)?;
    let answer: MintResponse = services.mint(&order, &stolen)?.json()?;
    assert!(answer.grant.is_none());
    assert_eq!(refusal(&key, &answer.sealed.0)?, Refusal::Seed);

    // An extension order is for one request, and no other of the same lease.
    let leased = bought.drawn.lease(first, assigned.gateway);
    let srt = customer.srt()?;
    let seal = || leased.seal_request(&srt, &customer.device, &enclave, &mut system_rng());
    let (one, two) = (seal()?, seal()?);
    let order = ExtensionOrder {
        lease: assigned.lease,
        ip: leased.minted.ip,
        region: REGION.parse()?,
        request: hash(&one.request)?,
        frozen: false,
        notice: None,
    };
    let order = order.sign(&keys::order_key(&town)?, now())?;
    assert_eq!(services.mint_again(&order, &one.request)?.status, 200);
    assert_eq!(services.mint_again(&order, &two.request)?.refusal(), ORDER);
    before.unchanged(&town)
}

#[test]
fn a_sealed_request_can_not_be_moved() -> Result<()> {
    let town = TOWN.lock()?;
    let (one, other) = (Customer::new(&town)?, Customer::new(&town)?);
    let ((srt, mine), (_, theirs)) = (one.lease()?, other.lease()?);
    let waiting = Customer::new(&town)?;
    let (token, spare) = (waiting.buy()?, Customer::new(&town)?.buy()?);
    let enclave = one.services.attest()?;
    let before = Rows::of(&town)?;
    // To another token: the thief has it reserve an address, and the enclave doesn't open what isn't for it.
    let (sealed, _) = waiting.seal(&token, &enclave)?;
    let moved = one.present(&spare.drawn, &sealed.request)?;
    assert_eq!(moved.refusal(), UNOPENABLE);
    before.only_reserved(&town, &spare.drawn.token()?.spend_hash())?;
    let before = Rows::of(&town)?;
    // To another lease, and an assignment's as a refresh's and the other way round.
    let refresh = mine.seal_request(&srt, &one.device, &enclave, &mut system_rng())?;
    let moved = one.services.refresh(theirs.minted.lease, &refresh.request)?;
    assert_eq!(moved.refusal(), UNOPENABLE);
    assert_eq!(one.services.refresh(mine.minted.lease, &sealed.request)?.status, 422);
    assert_eq!(waiting.present(&token.drawn, &refresh.request)?.status, 422);
    // Spoilt on its way: it doesn't open.
    for place in [0, 31, 32, 63, 64, 200, sealed.request.len() - 1] {
        let mut spoilt = refresh.request.clone();
        if let Some(byte) = spoilt.get_mut(place) {
            *byte ^= 1;
        }
        let refused = one.services.refresh(mine.minted.lease, &spoilt)?;
        let expected = if place < 32 { (409, "enclave-key-changed") } else { UNOPENABLE };
        if place < spoilt.len() {
            assert_eq!(refused.refusal(), expected, "{place}");
        }
    }
    before.unchanged(&town)
}

#[test]
fn a_refresh_is_for_ones_own_lease() -> Result<()> {
    let town = TOWN.lock()?;
    let (one, other) = (Customer::new(&town)?, Customer::new(&town)?);
    let ((srt, mine), (other_srt, theirs)) = (one.lease()?, other.lease()?);
    let enclave = one.services.attest()?;
    let (own, foreign) = (mine.minted.lease, theirs.minted.lease);
    let seed = keys::minting_seed(&town)?;
    let (header, claims) = parts(&mine.minted.drt)?;
    let forged = |name: &str, value: serde_json::Value| {
        crate::forge::jws(&header, &with(&claims, name, value), &seed)
    };
    let drt = |leased: &Leased| leased.minted.drt.clone();
    let before = Rows::of(&town)?;
    for (what, srt, drt, lease, expected) in [
        ("another's lease", srt.clone(), drt(&mine), foreign, Refusal::OtherLease),
        ("another's refresh token", srt.clone(), drt(&theirs), foreign, Refusal::OtherSubscription),
        ("another's receipt", other_srt, drt(&mine), own, Refusal::OtherSubscription),
        ("an access token", srt.clone(), mine.minted.dat.clone(), own, Refusal::Drt),
        ("a receipt as refresh token", srt.clone(), srt.clone(), own, Refusal::Drt),
        // Of a lease whose address is this one's, and of an address whose lease is this one's: only the enclave
        // could sign such a thing, and it goes by all three.
        (
            "lease alone differs",
            srt.clone(),
            forged("lease", json!(foreign))?,
            own,
            Refusal::OtherLease,
        ),
        (
            "address alone differs",
            srt.clone(),
            forged("dip_details", json!({"ip": theirs.minted.ip}))?,
            own,
            Refusal::OtherLease,
        ),
        (
            "region alone differs",
            srt.clone(),
            forged("region", json!("elsewhere"))?,
            own,
            Refusal::OtherLease,
        ),
    ] {
        let content = RefreshRequest {
            srt,
            drt,
            device: one.device.public(),
            device_proof: None,
            give_back: false,
        };
        let (sealed, key) = seal_refresh(&content, &one.device, lease, &enclave)?;
        let answer: dip_api::Refreshed = one.services.refresh(lease, &sealed)?.json()?;
        assert_eq!(refusal(&key, &answer.sealed.0)?, expected, "{what}");
    }
    let nowhere = LeaseId::random(&mut system_rng());
    let content = RefreshRequest {
        srt: srt.clone(),
        drt: drt(&mine),
        device: one.device.public(),
        device_proof: None,
        give_back: false,
    };
    let (sealed, _) = seal_refresh(&content, &one.device, nowhere, &enclave)?;
    assert_eq!(one.services.refresh(nowhere, &sealed)?.refusal(), (404, "lease-unknown"));
    before.unchanged(&town)?;
    assert_eq!(one.refresh(&srt, &mine)?.lease, own);
    Ok(())
}

#[test]
fn no_other_role_can_mint() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (srt, leased) = customer.lease()?;
    let services = &customer.services;
    let device = customer.device.public();
    let enclave = services.attest()?;
    let (header, claims) = parts(&leased.minted.drt)?;
    let dat = Dat::new(leased.minted.ip, leased.minted.region.clone(), &device);
    let before = Rows::of(&town)?;
    for (service, name) in [
        ("accounts", "srt"),
        ("issuer", "issuance-receipt"),
        ("dip", "order"),
        ("gateway", "wireguard"),
    ] {
        let seed = keys::seed(&town, service, name)?;
        // An access token, for the gateway.
        let refused =
            services.add_peer(&dat.sign(&SigningKey::from_seed(&seed)?, now())?, device)?;
        assert_eq!(refused.refusal(), (401, "dat-refused"), "{service}");
        // A refresh token, for the enclave.
        let drt = crate::forge::jws(&header, &claims, &seed)?;
        assert!(Drt::verify(drt.as_str(), &enclave.minting_keys, now()).is_err());
        let content =
            RefreshRequest { srt: srt.clone(), drt, device, device_proof: None, give_back: false };
        let (sealed, key) =
            seal_refresh(&content, &customer.device, leased.minted.lease, &enclave)?;
        let answer: dip_api::Refreshed = services.refresh(leased.minted.lease, &sealed)?.json()?;
        assert!(
            matches!(open(&key, &answer.sealed.0)?, Answer::Refused(Refusal::Drt)),
            "{service}"
        );
    }
    before.unchanged(&town)
}

#[test]
fn a_frozen_lease_gets_no_tokens_until_it_is_thawed() -> Result<()> {
    let scene = &mut Scene::open()?;
    let customer = Customer::new(scene)?;
    let bought = customer.buy()?;
    let (minted, assigned) = customer.assign(&bought)?;
    let ip = minted.ip.to_string();
    let told = ["--reference", REFERENCE, "--text", TEXT, "--category", "spam"];
    scene.operate_dip(&[&["lease", "freeze", &ip][..], &told].concat())?;
    let before = Rows::of(scene)?;
    // Neither by the refresh token nor by showing the old token once more; only the holder is told.
    let again = customer.assign(&bought).map(|_| ()).unwrap_err();
    assert_eq!(again.downcast::<AnswerError>()?, AnswerError::Frozen(notice()?));
    let Bought { srt, drawn } = bought;
    let leased = drawn.lease(minted, assigned.gateway);
    let refused = customer.refresh(&srt, &leased).map(|_| ()).unwrap_err();
    assert_eq!(refused.downcast::<AnswerError>()?, AnswerError::Frozen(notice()?));
    before.unchanged(scene)?;
    scene.operate_dip(&["lease", "thaw", &ip])?;
    assert_eq!(customer.refresh(&srt, &leased)?.ip.to_string(), ip);
    Ok(())
}

const REFERENCE: &str = "case-7";
const TEXT: &str = "Too much mail came from this address.";

/// What the holder of a frozen lease reads.
fn notice() -> Result<Notice> {
    Ok(Notice { reference: REFERENCE.parse()?, text: TEXT.parse()? })
}
