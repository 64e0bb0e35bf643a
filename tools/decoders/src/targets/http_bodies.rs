//! The services' JSON requests, through the extractor that all of them use. The first byte says which.

use std::sync::LazyLock;

use accounts_api::{AccountNumber, CreateAccount, Reset};
use axum::body::Body;
use axum::extract::{FromRequest as _, Query};
use axum::response::IntoResponse as _;
use dip_api::{Assign, Assigned, Refresh, Refreshed};
use encoding::Base64Url;
use gateway_api::{AddPeer, Devices, OneDevice, Peer};
use http::{Request, Uri};
use http_body_util::BodyExt as _;
use issuer_api::{BlindSign, BlindSigned, KeyQuery};
use peer_key::Thumbprint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service::Json;
use tokio::runtime::{Builder, Runtime};
use wire::http::{MintRequest, MintResponse};

use crate::fixture;
use crate::input::{byte, tagged};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

/// Has one of the bodies read.
pub(crate) fn check(input: &[u8]) {
    let Some((kind, body)) = byte(input) else { return };
    match kind % 16 {
        0 => one::<CreateAccount>(body),
        1 => one::<Reset>(body),
        2 => one::<BlindSign>(body),
        3 => one::<Assign>(body),
        4 => one::<Refresh>(body),
        5 => one::<AddPeer>(body),
        6 => one::<MintRequest>(body),
        7 => one::<BlindSigned>(body),
        8 => one::<Assigned>(body),
        9 => one::<Refreshed>(body),
        10 => one::<MintResponse>(body),
        11 => one::<Peer>(body),
        12 => query(body),
        13 => number(body),
        14 => one::<OneDevice>(body),
        _ => one::<Devices>(body),
    }
}

/// What is read is written and read again; what isn't is refused without being quoted.
pub(crate) fn one<T: Serialize + DeserializeOwned>(body: &[u8]) {
    match read::<T>(body, "application/json") {
        Ok(value) => {
            let written = serde_json::to_vec(&value).expect("it was read");
            let again: T = serde_json::from_slice(&written).expect("it was written");
            assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
            assert!(std::str::from_utf8(body).is_ok(), "JSON is UTF-8");
        }
        Err((status, problem)) => {
            let json = serde_json::from_slice::<Value>(body);
            assert!(matches!(status, 400 | 422), "{status}");
            assert!(status != 400 || json.is_err(), "JSON of another shape is 422");
            pointing(&problem);
        }
    }
    assert!(read::<T>(body, "text/plain").is_err_and(|(status, _)| status == 415));
}

/// The extractor's word: the value, or status and problem document.
fn read<T: DeserializeOwned>(body: &[u8], kind: &str) -> Result<T, (u16, Value)> {
    let request = Request::post("/")
        .header("content-type", kind)
        .body(Body::from(body.to_vec()))
        .expect("a request");
    RUNTIME.block_on(async {
        match Json::<T>::from_request(request, &()).await {
            Ok(Json(value)) => Ok(value),
            Err(problem) => {
                let response = problem.into_response();
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                Err((status, serde_json::from_slice(&body).expect("a problem is JSON")))
            }
        }
    })
}

/// A problem says where, never what: its detail is this sentence and two numbers.
fn pointing(problem: &Value) {
    let detail = problem["detail"].as_str().expect("it says where");
    if detail == "the body is not UTF-8" {
        return;
    }
    let words: Vec<&str> = detail.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let ["see", "line", line, "column", column, "of", "the", "body"] = words.as_slice() else {
        panic!("{detail}");
    };
    assert!(line.parse::<u32>().is_ok() && column.parse::<u32>().is_ok());
}

fn query(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(uri) = format!("/api/v1/public-key?{text}").parse::<Uri>() else { return };
    let Ok(Query(key)) = Query::<KeyQuery>::try_from_uri(&uri) else { return };
    let epoch = key.epoch.map(|epoch| format!("&epoch={epoch}")).unwrap_or_default();
    let again = format!("/?purpose={}{epoch}", key.purpose).parse().expect("a query");
    assert!(Query::<KeyQuery>::try_from_uri(&again).is_ok_and(|Query(again)| again == key));
}

/// An account's number: 24 digits, however they are grouped.
fn number(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let digits: String = text.chars().filter(|one| !matches!(one, ' ' | '-')).collect();
    let sound = digits.len() == 24 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<AccountNumber>();
    assert_eq!(number.is_ok(), sound);
    if let Ok(number) = number {
        assert_eq!(*number.to_text(), digits);
        let grouped = number.grouped().parse::<AccountNumber>();
        assert!(grouped.is_ok_and(|again| again.digits() == number.digits()));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let sealed = Base64Url(vec![7; 80]);
    let lease = fixture::lease_id();
    let tunnel = json!({
        "public_key": fixture::device(), "endpoint": "[2001:db8::1]:51820",
        "inner_address": "100.64.0.2", "resolver": "100.64.0.1",
    });
    let gateway = json!({"url": "http://127.0.0.1:3006", "tunnel": tunnel});
    let bodies = [
        json!({"account": "1234 5678 9012 3456 7890 1234", "entitlements": ["vpn.dip", "vpn.access"]}),
        json!({"from": 3}),
        json!({"purpose": "dedicated-ip", "epoch": 2968, "blinded_message": Base64Url(vec![9; 256])}),
        json!({"region": "eu-1", "sealed": sealed}),
        json!({"lease": lease, "sealed": sealed}),
        json!({"dat": "a.b.c", "device": fixture::device()}),
        json!({"order": "a.b.c", "sealed": sealed}),
        json!({"blind_signature": Base64Url(vec![9; 256])}),
        json!({"lease": lease, "sealed": sealed, "gateway": gateway}),
        json!({"sealed": sealed, "gateway": gateway}),
        json!({"grant": "a.b.c", "sealed": sealed}),
        json!({"exit_address": "2001:db8::7", "ends": 498_672, "tunnel": tunnel}),
    ];
    let mut seeds: Vec<Vec<u8>> =
        (0..).zip(bodies).map(|(kind, body)| tagged(kind, body.to_string())).collect();
    seeds.push(tagged(1, r#"{"from":"hunter2"}"#));
    seeds.push(tagged(2, r#"{"hunter2":1}"#));
    seeds.push(tagged(4, r#"{"lease": hunter2}"#));
    seeds.push(tagged(12, "purpose=dedicated-ip&epoch=2968"));
    let device = Thumbprint::from(&fixture::device());
    seeds.push(tagged(14, json!({ "device": device }).to_string()));
    let listed = json!({ "device": device, "ends": 498_672, "this": true });
    seeds.push(tagged(15, json!({ "devices": [listed] }).to_string()));
    seeds.push(tagged(13, "1234-5678 9012-3456 7890-1234"));
    seeds
}
