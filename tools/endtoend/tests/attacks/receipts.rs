//! Subscription receipts that are no good, at the blind token service and, sealed, at the enclave; and what is left
//! of a subscription after a refund or a reset.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coarse::{Secret, system_rng};
use dip_api::Refreshed;
use encoding::Base64Url;
use endtoend::customer::{Bought, Customer, refusal, seal_refresh};
use endtoend::keys;
use endtoend::program::User;
use endtoend::rows::Rows;
use endtoend::services::{Answer, ask, now};
use epoch_keys::Purpose;
use http::Method;
use issuer_api::{BLIND_SIGN, BlindSign};
use jws::{Compact, SigningKey};
use lab::Town;
use minting::{RefreshRequest, Refusal};
use receipt::{Entitlement, Entitlements, MAX_LIFE, Srt};
use serde_json::{Value, json};
use wallet::{AnswerError, Drawing, Leased};

use crate::TOWN;
use crate::forge::{altered, jws, parts, with, without};
use crate::sharing::{present, refused};

/// What both readers say to a receipt.
struct Verdict {
    issuer: (u16, &'static str),
    enclave: Refusal,
}

const NONE: Verdict = Verdict { issuer: (401, "srt-refused"), enclave: Refusal::Srt };
const OVER: Verdict = Verdict { issuer: (401, "srt-expired"), enclave: Refusal::SrtExpired };
const ELSE: Verdict =
    Verdict { issuer: (403, "purpose-not-covered"), enclave: Refusal::NotEntitled };

/// Everything that a customer may show instead of a receipt.
fn bad_receipts(
    town: &Town,
    customer: &Customer,
    leased: &Leased,
) -> Result<Vec<(&'static str, Compact, Verdict)>> {
    let good = customer.srt()?;
    let (header, claims) = parts(&good)?;
    let key = keys::srt_key(town)?;
    let seed = keys::seed(town, "accounts", "srt")?;
    let stranger: Secret<32> = Secret::random(&mut system_rng());
    let signed = |header: &Value, claims: &Value| jws(header, claims, &seed);
    let claim = |name: &str, value: Value| signed(&header, &with(&claims, name, value));
    let named = |name: &str, value: Value| signed(&with(&header, name, value), &claims);
    let srt = Srt {
        subscription: customer.subscription,
        entitlements: Entitlements::new(Entitlement::ALL, Default::default()),
    };
    let without_dip = Srt {
        entitlements: Entitlements::new([Entitlement::Access], Default::default()),
        ..srt.clone()
    };
    let end = claims["exp"].as_u64().context("no end")?;
    let rich = with(&claims, "entitlements", json!({"vpn.dip": {"did": 9}}));
    let other = Customer::new(town)?.subscription.to_hex();
    let stolen = with(&claims, "sub", other);
    let text = good.as_str().to_owned();
    let (signed_part, signature) = text.rsplit_once('.').context("no token")?;
    let as_secret = hmac::Key::new(hmac::HMAC_SHA256, key.verifying_key().bytes());
    let hs256 = with(&header, "alg", "HS256");
    let hs256 = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(hs256.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&as_secret, hs256.as_bytes()));
    let plain = |text: String| Compact::new(text);
    let issuance: Value =
        json!({"sub": customer.subscription, "did": 0, "key": "00", "blinded": "00"});
    Ok(vec![
        ("expired", srt.sign(&key, now().minus(MAX_LIFE + Duration::from_secs(3700)))?, OVER),
        ("for other things", without_dip.sign(&key, now())?, ELSE),
        ("for nothing", claim("entitlements", json!({}))?, ELSE),
        ("a stranger's", srt.sign(&SigningKey::from_seed(&stranger)?, now())?, NONE),
        ("a stranger's under the known name", jws(&header, &claims, &stranger)?, NONE),
        ("another issuer's", claim("iss", json!("accounts.elsewhere.example"))?, NONE),
        ("the blind token service's own", claim("iss", json!("blind-token-service"))?, NONE),
        ("for the gateway", claim("aud", json!(["gateway"]))?, NONE),
        ("for nobody", claim("aud", json!([]))?, NONE),
        ("without a reader", signed(&header, &without(&claims, "aud"))?, NONE),
        ("without an end", signed(&header, &without(&claims, "exp"))?, NONE),
        ("with an end far off", claim("exp", json!(end + 90_000))?, NONE),
        ("with an end that is none", claim("exp", json!("tomorrow"))?, NONE),
        ("with an end before all time", claim("exp", json!(-1))?, NONE),
        ("without a subscription", signed(&header, &without(&claims, "sub"))?, NONE),
        ("with half a subscription", claim("sub", json!("00ff"))?, NONE),
        (
            "with a version that is none",
            claim("entitlements", json!({"vpn.dip": {"did": -1}}))?,
            NONE,
        ),
        ("another kind", named("typ", json!("issuance-receipt+jwt"))?, NONE),
        ("any kind", named("typ", json!("JWT"))?, NONE),
        ("no kind", signed(&without(&header, "typ"), &claims)?, NONE),
        ("of an unknown key", named("kid", json!("AAAA"))?, NONE),
        ("of no key", signed(&without(&header, "kid"), &claims)?, NONE),
        ("with its own key", named("jwk", json!({"kty": "OKP"}))?, NONE),
        ("with a critical extension", named("crit", json!(["exp"]))?, NONE),
        ("not signed", altered(&good, &with(&header, "alg", "none"), &claims)?, NONE),
        ("not signed, and no signature", plain(format!("{signed_part}.")), NONE),
        ("signed with the public key as a secret", plain(format!("{hs256}.{mac}")), NONE),
        ("with a higher version", altered(&good, &header, &rich)?, NONE),
        ("with another's name on it", altered(&good, &header, &stolen)?, NONE),
        ("with a byte behind it", plain(text.clone() + "A"), NONE),
        ("with padding", plain(text.clone() + "=="), NONE),
        ("cut", plain(text[..text.len() - 1].to_owned()), NONE),
        ("two in one", plain(format!("{text}.{text}")), NONE),
        ("with another signature", plain(format!("{signed_part}.{}", "A".repeat(86))), NONE),
        ("the signature alone", plain(signature.to_owned()), NONE),
        ("nothing", plain(String::new()), NONE),
        ("a great deal", plain("A".repeat(2049)), NONE),
        ("an access token", leased.minted.dat.clone(), NONE),
        ("a refresh token", leased.minted.drt.clone(), NONE),
        (
            "a receipt of issuance by accounts' key",
            signed(&with(&header, "typ", "issuance-receipt+jwt"), &issuance)?,
            NONE,
        ),
    ])
}

/// The blind token service's own route, beside the one of RFC 9578.
fn blind_sign(customer: &Customer, srt: &Compact, drawing: &Drawing) -> Result<Answer> {
    let provider = &customer.services.provider;
    let blinded = drawing.request(provider)?.blinded_message().to_vec();
    let body = BlindSign {
        purpose: Purpose::DedicatedIp,
        epoch: drawing.key().epoch,
        blinded_message: Base64Url(blinded),
    };
    let bearer = format!("Bearer {}", srt.as_str());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let url = &provider.urls.blind_token_service;
    ask(Method::POST, url, BLIND_SIGN, &headers, serde_json::to_vec(&body)?)
}

#[test]
fn receipts_that_are_no_good_draw_nothing() -> Result<()> {
    let town = TOWN.lock()?;
    let (_, leased) = Customer::new(&town)?.lease()?;
    let customer = Customer::new(&town)?;
    let drawing = customer.begin()?;
    let bad = bad_receipts(&town, &customer, &leased)?;
    let before = Rows::of(&town)?;
    for (what, srt, verdict) in &bad {
        assert_eq!(customer.send(srt, &drawing)?.refusal(), verdict.issuer, "{what}");
        assert_eq!(blind_sign(&customer, srt, &drawing)?.refusal(), verdict.issuer, "{what}");
    }
    // Two at once are none, also when both are good.
    let good = customer.srt()?;
    let bearer = format!("Bearer {}", good.as_str());
    let request = drawing.request(&customer.services.provider)?.encode();
    let kind = ("content-type", privacy_pass::MEDIA_TYPE_REQUEST);
    let twice = [kind, ("authorization", &bearer), ("authorization", &bearer)];
    let url = &customer.services.provider.urls.blind_token_service;
    let refused = ask(Method::POST, url, issuer_api::TOKEN_REQUEST, &twice, request)?;
    assert_eq!(refused.refusal(), NONE.issuer);
    before.unchanged(&town)?;
    // The refusals marked nothing: the same draw succeeds with the good one.
    assert_eq!(customer.send(&good, &drawing)?.status, 200);
    assert_eq!(blind_sign(&customer, &good, &drawing)?.status, 200);
    Ok(())
}

#[test]
fn receipts_that_are_no_good_get_nothing_from_the_enclave() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (_, leased) = customer.lease()?;
    let waiting = Customer::new(&town)?;
    let bought = waiting.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    let enclave = customer.services.attest()?;
    let (lease, device) = (leased.minted.lease, customer.device.public());
    let bad = bad_receipts(&town, &customer, &leased)?;
    let bad_for_waiting = bad_receipts(&town, &waiting, &leased)?;
    let before = Rows::of(&town)?;
    for (what, srt, verdict) in bad {
        let content = RefreshRequest {
            srt,
            drt: leased.minted.drt.clone(),
            device,
            device_proof: None,
            give_back: false,
        };
        let (sealed, key) =
            seal_refresh(&content, &customer.device, lease, &enclave).context(what)?;
        let answer: Refreshed = customer.services.refresh(lease, &sealed)?.json()?;
        assert_eq!(refusal(&key, &answer.sealed.0)?, verdict.enclave, "refresh: {what}");
    }
    before.unchanged(&town)?;
    for (what, srt, verdict) in bad_for_waiting {
        let mut content = waiting.content(&bought)?;
        content.srt = srt;
        assert_eq!(refused(present(&waiting, &content)?)?, verdict.enclave, "assign: {what}");
    }
    before.only_reserved(&town, &hash)?;
    // Lease and token are as good as before.
    customer.refresh(&customer.srt()?, &leased)?;
    waiting.assign(&bought)?;
    Ok(())
}

#[test]
fn receipts_of_issuance_that_are_no_good_get_no_address() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let bought = customer.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    let good = bought.drawn.receipt();
    let (header, claims) = parts(good)?;
    let seed = keys::seed(&town, "issuer", "issuance-receipt")?;
    let before = Rows::of(&town)?;
    let zeros = "00".repeat(32);
    for (what, receipt, expected) in [
        ("the subscription's", bought.srt.clone(), Refusal::Receipt),
        (
            "accounts'",
            jws(&header, &claims, &keys::seed(&town, "accounts", "srt")?)?,
            Refusal::Receipt,
        ),
        (
            "a stranger's",
            jws(&header, &claims, &Secret::random(&mut system_rng()))?,
            Refusal::Receipt,
        ),
        (
            "for the gateway",
            jws(&header, &with(&claims, "aud", json!(["gateway"])), &seed)?,
            Refusal::Receipt,
        ),
        ("altered", altered(good, &header, &with(&claims, "did", 1))?, Refusal::Receipt),
        // What only the service itself could sign, and doesn't.
        (
            "of another message",
            jws(&header, &with(&claims, "blinded", zeros.clone()), &seed)?,
            Refusal::Seed,
        ),
        ("of another key", jws(&header, &with(&claims, "key", zeros), &seed)?, Refusal::Key),
        ("of a later version", jws(&header, &with(&claims, "did", 1), &seed)?, Refusal::Srt),
    ] {
        let mut content = customer.content(&bought)?;
        content.receipt = receipt;
        assert_eq!(refused(present(&customer, &content)?)?, expected, "{what}");
    }
    before.only_reserved(&town, &hash)?;
    customer.assign(&bought)?;
    Ok(())
}

#[test]
fn a_refunded_subscription_gets_no_srt() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (old, leased) = customer.lease()?;
    // The program says so, and keeps what it has.
    let user = User::logged_in(&town)?;
    town.support("refund", &customer.subscription.to_hex())?;
    town.support("refund", &user.subscription)?;
    let before = Rows::of(&town)?;
    for _ in 0..3 {
        let refused = customer.services.srt(&customer.account)?;
        assert_eq!(refused.refusal(), (403, "subscription-refunded"));
    }
    let wallet = user.wallet();
    let refused = user.log_in()?;
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("refunded"), "{}", refused.err);
    assert_eq!(user.wallet(), wallet);
    before.unchanged(&town)?;
    // What it still has ends with its last receipt, three days at most.
    customer.refresh(&old, &leased)?;
    before.unchanged(&town)
}

#[test]
fn a_reset_ends_old_tokens_and_allows_a_new_one() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let bought = customer.buy()?;
    let (minted, assigned) = customer.assign(&bought)?;
    let Bought { srt: old_srt, drawn } = bought;
    let old = drawn.lease(minted, assigned.gateway);
    town.support("reset", &customer.subscription.to_hex())?;
    let srt = customer.srt()?;
    let before = Rows::of(&town)?;
    let refused = customer.refresh(&srt, &old).map(|_| ()).unwrap_err();
    assert_eq!(refused.downcast::<AnswerError>()?, AnswerError::Refused(Refusal::Reset));
    before.unchanged(&town)?;
    // A new token can be drawn, and buys another lease.
    let (_, new) = customer.lease()?;
    assert_ne!((new.minted.lease, new.minted.ip), (old.minted.lease, old.minted.ip));
    // From then on the blind token service takes no receipt of before the reset.
    let before = Rows::of(&town)?;
    let refused = customer.send(&old_srt, &customer.begin()?)?;
    assert_eq!(refused.refusal(), (409, "subscription-version-superseded"));
    // Nor does a receipt of before go with what was drawn after: get a new one, it says.
    let refused = customer.refresh(&old_srt, &new).map(|_| ()).unwrap_err();
    assert_eq!(refused.downcast::<AnswerError>()?, AnswerError::Refused(Refusal::Srt));
    customer.refresh(&srt, &new)?;
    // The present version has drawn, too.
    let refused = customer.send(&srt, &customer.begin()?)?;
    assert_eq!(refused.refusal(), (409, "draw-limit-reached"));
    before.unchanged(&town)
}

#[test]
fn a_token_that_was_spent_before_a_reset_buys_nothing_after_it() -> Result<()> {
    let town = TOWN.lock()?;
    // One that bought a lease, and one that got no further than a reservation.
    let (spender, waiter) = (Customer::new(&town)?, Customer::new(&town)?);
    let (spent, waiting) = (spender.buy()?, waiter.buy()?);
    let (first, _) = spender.assign(&spent)?;
    for customer in [&spender, &waiter] {
        town.support("reset", &customer.subscription.to_hex())?;
    }
    let before = Rows::of(&town)?;
    for (customer, bought) in [(&spender, &spent), (&waiter, &waiting)] {
        let mut content = customer.content(bought)?;
        content.srt = customer.srt()?;
        assert_eq!(refused(present(customer, &content)?)?, Refusal::OtherSubscription);
    }
    before.only_reserved(&town, &waiting.drawn.token()?.spend_hash())?;
    // With the receipt of before the reset, three days at most, it leads to the lease that it bought and to no other.
    let (again, _) = spender.assign(&spent)?;
    assert_eq!((again.lease, again.ip), (first.lease, first.ip));
    before.only_reserved(&town, &waiting.drawn.token()?.spend_hash())?;
    // Nor can the old version draw once more, before or after the new one has.
    for _ in 0..2 {
        let reserved = Rows::of(&town)?;
        let refused = spender.send(&spent.srt, &spender.begin()?)?;
        assert_eq!(refused.status, 409);
        reserved.unchanged(&town)?;
        spender.send(&spender.srt()?, &spender.begin()?)?;
    }
    Ok(())
}
