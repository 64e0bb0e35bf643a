//! Tokens of every kind, against jsonwebtoken.
//!
//! The first byte says what follows: a compact JWS as it comes, or claims, which are signed with the header and the key of
//! one kind of token, so that the reader of its claims is reached.

use coarse::UnixTime;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use jws::{Claims, Compact};
use lease::{Dat, DipDetails, Extension, ExtensionOrder, Grant, Order, RequestHash, lease_end};
use minting::Drt;
use receipt::{ENCLAVE_AUDIENCE, ISSUER_AUDIENCE, IssuanceReceipt, Srt, SubscriptionVersion};
use serde_json::Value;

use crate::fixture::{self, NOW, Role, key, keys};
use crate::input::{byte, tagged};

/// A kind of token, and how it is checked.
struct Kind {
    name: &'static str,
    signer: Role,
    issuer: &'static str,
    audience: &'static str,
    /// Whether it is good; panics when what it claims doesn't come back after it was signed again.
    check: fn(&str) -> bool,
}

const KINDS: [Kind; 8] = [
    Kind {
        name: Srt::TYPE,
        signer: Role::Accounts,
        issuer: receipt::ACCOUNTS,
        audience: ISSUER_AUDIENCE,
        check: |token| {
            let read =
                |token: &str, audience| Srt::verify(token, &keys(Role::Accounts), audience, NOW);
            let srt = read(token, ISSUER_AUDIENCE);
            if let Ok(srt) = &srt {
                let again = srt.sign(&key(Role::Accounts), NOW).expect("claims of a receipt");
                assert_eq!(read(again.as_str(), ENCLAVE_AUDIENCE).as_ref(), Ok(srt));
            }
            srt.is_ok()
        },
    },
    Kind {
        name: IssuanceReceipt::TYPE,
        signer: Role::Issuance,
        issuer: receipt::BLIND_TOKEN_SERVICE,
        audience: "enclave",
        check: |token| {
            let read = |token: &str| IssuanceReceipt::verify(token, &keys(Role::Issuance));
            again(read(token).ok(), |it| it.sign(&key(Role::Issuance)), |it| read(it).ok())
        },
    },
    Kind {
        name: Dat::TYPE,
        signer: Role::Minting,
        issuer: "enclave",
        audience: "gateway",
        check: |token| {
            let read = |token: &str| Dat::verify(token, &keys(Role::Minting), NOW);
            again(read(token).ok(), |it| it.sign(&key(Role::Minting), NOW), |it| read(it).ok())
        },
    },
    Kind {
        name: Drt::TYPE,
        signer: Role::Minting,
        issuer: "enclave",
        audience: "enclave",
        check: |token| {
            let read = |token: &str| Drt::verify(token, &keys(Role::Minting), NOW);
            again(read(token).ok(), |it| it.sign(&key(Role::Minting), NOW), |it| read(it).ok())
        },
    },
    Kind {
        name: Order::TYPE,
        signer: Role::Orders,
        issuer: "dip-service",
        audience: "enclave",
        check: |token| {
            let read = |token: &str| Order::verify(token, &keys(Role::Orders), NOW);
            again(read(token).ok(), |it| it.sign(&key(Role::Orders), NOW), |it| read(it).ok())
        },
    },
    Kind {
        name: ExtensionOrder::TYPE,
        signer: Role::Orders,
        issuer: "dip-service",
        audience: "enclave",
        check: |token| {
            let read = |token: &str| ExtensionOrder::verify(token, &keys(Role::Orders), NOW);
            again(read(token).ok(), |it| it.sign(&key(Role::Orders), NOW), |it| read(it).ok())
        },
    },
    Kind {
        name: Grant::TYPE,
        signer: Role::Minting,
        issuer: "enclave",
        audience: "dip-service",
        check: |token| {
            let read = |token: &str| Grant::verify(token, &keys(Role::Minting));
            again(read(token).ok(), |it| it.sign(&key(Role::Minting)), |it| read(it).ok())
        },
    },
    Kind {
        name: Extension::TYPE,
        signer: Role::Minting,
        issuer: "enclave",
        audience: "dip-service",
        check: |token| {
            let read = |token: &str| Extension::verify(token, &keys(Role::Minting));
            again(read(token).ok(), |it| it.sign(&key(Role::Minting)), |it| read(it).ok())
        },
    },
];

/// Whether claims were read; signed again they must say the same.
fn again<C: PartialEq>(
    claims: Option<C>,
    sign: impl Fn(&C) -> Result<Compact, jws::Error>,
    read: impl Fn(&str) -> Option<C>,
) -> bool {
    claims.is_some_and(|claims| {
        let again = sign(&claims).expect("claims that were read can be written");
        assert!(read(again.as_str()).is_some_and(|it| it == claims), "they come back");
        true
    })
}

/// Has a token, found or made, checked as every kind.
pub(crate) fn check(input: &[u8]) {
    let Some((mode, rest)) = byte(input) else { return };
    let made = KINDS.get(usize::from(mode));
    let token = match made {
        Some(kind) => {
            fixture::jws(kind.signer, fixture::header(kind.signer, kind.name).as_bytes(), rest)
        }
        None => match std::str::from_utf8(rest) {
            Ok(token) => token.to_owned(),
            Err(_) => return,
        },
    };
    let good: Vec<&Kind> = KINDS.iter().filter(|kind| (kind.check)(&token)).collect();
    assert!(good.len() <= 1, "a token passes for one kind at most");
    for kind in &good {
        assert!(token.len() <= 2048, "longer than any token");
        assert!(made.is_none_or(|made| made.name == kind.name), "its type decides");
        agrees(kind, &token);
    }
}

/// What is good here, jsonwebtoken takes as well.
fn agrees(kind: &Kind, token: &str) {
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_issuer(&[kind.issuer]);
    rules.set_audience(&[kind.audience]);
    rules.set_required_spec_claims(&["iss", "aud"]);
    // It asks the system's clock; ours stands still.
    rules.validate_exp = false;
    let key = Jwk::of(kind.signer);
    let payload = fixture::payload(&Compact::new(token.to_owned()));
    assert!(std::str::from_utf8(&payload).is_ok(), "JSON is UTF-8");
    if serde_json::from_slice::<Value>(&payload).is_err() {
        // Members that nobody reads may hold what its values can't: numbers beyond any double, half a surrogate.
        return;
    }
    let theirs = jsonwebtoken::decode::<Value>(token, &key, &rules).expect("it takes it, too");
    assert_eq!(theirs.header.typ.as_deref(), Some(kind.name));
    if let Some(end) = theirs.claims.get("exp").filter(|end| !end.is_null()) {
        let end = UnixTime::from_seconds(end.as_u64().expect("a number"));
        assert!(end.plus(jws::CLOCK_SKEW) > NOW, "an expired token was taken");
    }
}

struct Jwk;

impl Jwk {
    fn of(role: Role) -> DecodingKey {
        let key = serde_json::to_value(key(role).verifying_key()).expect("a key is JSON");
        DecodingKey::from_ed_components(key["x"].as_str().expect("a JWK has x")).expect("32 bytes")
    }
}

/// One good token of each kind, in the order of [`KINDS`].
pub(crate) fn tokens() -> Vec<Compact> {
    let (lease, ip, region) = (fixture::lease_id(), fixture::address(), fixture::region());
    let token = fixture::TOKEN.spend_hash();
    let (request, ends) = (RequestHash([6; 32]), lease_end(NOW));
    let minting = key(Role::Minting);
    let drt = Drt {
        subscription: fixture::subscription(),
        version: SubscriptionVersion::new(3),
        lease,
        dip_details: DipDetails { ip },
        region: region.clone(),
    };
    let tokens = [
        Ok(fixture::srt()),
        Ok(fixture::receipt()),
        Dat::new(ip, region.clone(), &fixture::device()).sign(&minting, NOW),
        drt.sign(&minting, NOW),
        Order { lease, ip, region: region.clone(), token, frozen: false, notice: None }
            .sign(&key(Role::Orders), NOW),
        ExtensionOrder { lease, ip, region, request, frozen: true, notice: None }
            .sign(&key(Role::Orders), NOW),
        Grant { lease, token, ends }.sign(&minting),
        Extension { lease, request, ends }.sign(&minting),
    ];
    tokens.into_iter().map(|token| token.expect("good claims")).collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (kind, token) in (0..).zip(tokens()) {
        seeds.push(tagged(kind, fixture::payload(&token)));
        seeds.push(tagged(0xff, token.as_str()));
    }
    seeds
}
