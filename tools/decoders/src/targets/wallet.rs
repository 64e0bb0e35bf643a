//! The client's file: damaged or not, it opens as a wallet or not at all, and is written as it was read.

use std::collections::BTreeSet;

use coarse::Secret;
use serde_json::{Value, json};
use wallet::{Dip, Wallet};

use super::{backup, config, jwt};
use crate::fixture::{self, NOW, Repeatable};

/// Opens a wallet's file.
pub(crate) fn check(input: &[u8]) {
    let Some(wallet) = Wallet::from_json(input) else { return };
    let written = wallet.to_json().expect("a wallet is JSON");
    let again = Wallet::from_json(&written).expect("it was written");
    assert_eq!(again.to_json().expect("as before"), written, "a wallet loses nothing");
    assert_eq!(wallet.device.public(), again.device.public());
    if let (Ok(Value::Object(found)), Ok(Value::Object(kept))) =
        (serde_json::from_slice(input), serde_json::from_slice(&written))
    {
        let held = |of: serde_json::Map<String, Value>| {
            of.into_iter().filter(|it| !it.1.is_null()).map(|it| it.0).collect::<BTreeSet<_>>()
        };
        assert_eq!(held(found), held(kept), "what was there is there");
    }
    if let Some(srt) = &wallet.srt {
        assert!(!srt.is_fresh(NOW) || srt.ends.start() > NOW);
    }
    let provider = wallet.trust.as_ref().and_then(|trust| trust.provider().ok());
    if let Ok(Some(wanted)) = wallet.backup.wanted() {
        let again = again.backup.wanted().expect("every root has keys");
        assert!(again.is_some_and(|again| again.same_as(&wanted)), "a backup keeps its place");
    }
    match &wallet.dip {
        Dip::Nothing => {}
        Dip::Drawing(drawing) => {
            if let Some(provider) = provider
                && let Ok(request) = drawing.request(&provider)
            {
                assert_eq!(drawing.request(&provider).ok(), Some(request), "a draw is repeated");
            }
        }
        Dip::Drawn(drawn) => {
            if let Ok(token) = drawn.token() {
                assert_eq!(token.encode().len(), 354);
            }
        }
        Dip::Leased(leased) => {
            let minted = serde_json::to_value(&leased.minted).expect("JSON");
            assert_eq!(minted["lease"], leased.minted.lease.to_hex());
        }
        Dip::Restored(restored) => {
            let contents = serde_json::to_value(restored.contents()).expect("JSON");
            assert_eq!(contents["lease"], restored.contents().lease.to_hex());
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let empty = Wallet::new(&mut Repeatable::new(9)).to_json().expect("JSON");
    let mut wallet: Value = serde_json::from_slice(&empty).expect("JSON");
    let mut seeds = vec![wallet.to_string()];
    wallet["trust"] =
        json!({"file": config::provider_file(), "accepts_untrusted_development": false});
    wallet["account"] = json!("123456789012345678901234");
    wallet["srt"] = json!({"srt": fixture::srt(), "ends": receipt::Srt::end(NOW)});
    seeds.push(wallet.to_string());
    let seed = encoding::Base64Url(Secret::<32>::new([7; 32]).expose().to_vec());
    wallet["dip"] = json!({"drawing": {"seed": seed, "key": fixture::published()}});
    seeds.push(wallet.to_string());
    let token = encoding::Base64Url(fixture::TOKEN.encode());
    let drawn = json!({
        "seed": seed, "key": fixture::published(), "token": token, "receipt": fixture::receipt(),
    });
    wallet["dip"] = json!({"drawn": drawn});
    seeds.push(wallet.to_string());
    let tokens = jwt::tokens();
    let minted = minting::Minted {
        lease: fixture::lease_id(),
        ip: fixture::address(),
        region: fixture::region(),
        dat: tokens[2].clone(),
        dat_ends: lease::Dat::end(NOW),
        drt: tokens[3].clone(),
        drt_ends: minting::Drt::end(NOW),
        notice: Some(lease::Notice::frozen()),
    };
    let gateway = json!({
        "url": "http://127.0.0.1:3006",
        "tunnel": {
            "public_key": fixture::device(),
            "endpoint": "127.0.0.1:51820",
            "inner_address": "100.64.0.2",
            "resolver": "100.64.0.1",
        },
    });
    wallet["dip"] = json!({"leased": {"minted": minted, "gateway": gateway, "drawn": drawn}});
    seeds.push(wallet.to_string());
    wallet["backup"] = json!({
        "current": {"root": seed, "holds": seed},
        "next": {"root": seed, "code": "7K3QF-9XMRT-02ABC-DWQ2F"},
        "former": [seed, seed],
    });
    wallet["salt"] = json!(encoding::Base64Url(vec![7; 16]));
    seeds.push(wallet.to_string());
    wallet["dip"] = json!({"restored": backup::contents()});
    seeds.push(wallet.to_string());
    seeds.into_iter().map(String::into_bytes).collect()
}
