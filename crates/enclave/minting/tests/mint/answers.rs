//! What leaves the mint: exact claims, and answers that look alike.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coarse::Secret;
use jws::Compact;
use lease::{Dat, LONGEST_NOTICE, LONGEST_REFERENCE, Notice, Order};
use minting::{Answer, Drt};
use seal::KeyProof;
use serde_json::{Value, json};
use wire::envelope::{ANSWER_OVERHEAD, ANSWER_SIZE, ASSIGN_SIZE, REFRESH_SIZE};

use crate::fixture::{NOW, World};

/// A token's header and claims.
fn parts(token: &Compact) -> [Value; 2] {
    let mut parts = token
        .as_str()
        .split('.')
        .take(2)
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap());
    [parts.next().unwrap(), parts.next().unwrap()]
}

#[test]
fn the_claims_are_these_and_no_more() {
    let world = World::new();
    let request = world.drawn(1, 5, 1);
    let shown = world.assign(&request);
    let grant = shown.grant.clone().unwrap();
    let minted = shown.minted();
    let kid = world.mint.minting_key().id().as_str();
    let header = |kind| json!({"alg": "EdDSA", "kid": kid, "typ": kind});
    let hour = |end: coarse::Hour| end.start().seconds();

    let [head, claims] = parts(&minted.dat);
    assert_eq!(head, header("dat+jwt"));
    assert_eq!(
        claims,
        json!({
            "iss": "enclave",
            "aud": ["gateway"],
            "exp": hour(Dat::end(NOW)),
            "dip_details": {"ip": "203.0.113.7"},
            "region": "eu-1",
            "cnf": {"jkt": request.device.thumbprint()},
        })
    );
    assert_eq!(claims["exp"].as_u64().unwrap() % 3600, 0);

    let [head, claims] = parts(&minted.drt);
    assert_eq!(head, header("drt+jwt"));
    assert_eq!(
        claims,
        json!({
            "iss": "enclave",
            "aud": ["enclave"],
            "exp": hour(Drt::end(NOW)),
            "sub": "01".repeat(16),
            "did": 5,
            "lease": "aa".repeat(16),
            "dip_details": {"ip": "203.0.113.7"},
            "region": "eu-1",
        })
    );
    assert_eq!(claims["exp"].as_u64().unwrap() % 3600, 0);

    // The grant, which the operator reads, names nobody and no time but a week.
    let [head, claims] = parts(&grant);
    assert_eq!(head, header("dip-grant+jwt"));
    assert_eq!(
        claims,
        json!({
            "iss": "enclave",
            "aud": ["dip-service"],
            "lease": "aa".repeat(16),
            "token": hex::encode(request.token.spend_hash().as_bytes()),
            "ends": lease::lease_end(NOW).number(),
        })
    );
}

#[test]
fn an_extension_names_lease_request_and_week_only() {
    let world = World::new();
    let shown = world.refresh(&world.leased(1, 0));
    let [_, claims] = parts(shown.grant.as_ref().unwrap());
    let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "ends", "iss", "lease", "request"]);
}

#[test]
fn refusals_and_grants_have_one_size() {
    let world = World::new();
    let mut request = world.drawn(1, 0, 1);
    let granted = world.assign(&request);
    request.seed = Secret::new([9; 32]);
    let refused = world.assign(&request);
    let mut refresh = world.leased(1, 0);
    let refreshed = world.refresh(&refresh);
    refresh.srt = world.srt(2, 0);
    let not_refreshed = world.refresh(&refresh);
    assert!(granted.refusal().is_none() && refused.refusal().is_some());
    assert!(refreshed.refusal().is_none() && not_refreshed.refusal().is_some());
    let mut given_back = world.leased(1, 0);
    let frozen = world.refresh_at(&given_back, |order| order.frozen = true, NOW);
    given_back.give_back = true;
    let given_back = world.refresh(&given_back);
    let strange = world.assign_content(b"?");
    for shown in [granted, refused, refreshed, not_refreshed, frozen, given_back, strange] {
        assert_eq!(shown.size, ANSWER_SIZE + ANSWER_OVERHEAD);
    }
}

#[test]
fn the_longest_content_fits_its_envelopes() {
    let world = World::new();
    let mut request = world.drawn(1, u32::MAX, 1);
    request.device_proof = Some(KeyProof::from_bytes([0xff; 32]));
    assert!(request.encode().unwrap().len() + 2 < ASSIGN_SIZE);
    let order = Order {
        ip: "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap(),
        region: "r".repeat(32).parse().unwrap(),
        ..World::order(&request)
    };
    // Nothing takes more room in JSON than a quotation mark.
    let notice = Notice {
        reference: "/".repeat(LONGEST_REFERENCE).parse().unwrap(),
        text: "\"".repeat(LONGEST_NOTICE).parse().unwrap(),
    };
    let order = Order { notice: Some(notice.clone()), ..order };
    let minted = world.assign_at(&request, &order, NOW).minted();
    assert_eq!(minted.notice, Some(notice));
    let refresh = minting::RefreshRequest {
        srt: world.srt(1, u32::MAX),
        drt: minted.drt,
        device: request.device,
        device_proof: Some(KeyProof::from_bytes([0xff; 32])),
        give_back: true,
    };
    assert!(refresh.encode().unwrap().len() + 2 < REFRESH_SIZE);
    let place = |asked: &mut lease::ExtensionOrder| {
        asked.ip = order.ip;
        asked.region = order.region.clone();
    };
    assert_eq!(world.refresh_at(&refresh, place, NOW).answer, Answer::GivenBack);
}
