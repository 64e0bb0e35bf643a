//! Spoilt requests: each endpoint's honest request, spoilt in one way at a time, is refused with a 4xx problem document
//! of its own; nothing is stored, nothing breaks, nothing hangs.

use anyhow::{Context as _, Result};
use endtoend::raw::Said;
use endtoend::rows::Rows;
use serde_json::{Value, json};

use crate::TOWN;
use crate::endpoints::{self, Endpoint};
use crate::forge::{with, without};

/// More than any endpoint takes.
const TOO_LARGE: usize = 70_000;

/// That a request was refused for the asker's fault, and how.
fn assert_refused(what: &str, endpoint: &Endpoint, said: &Said) {
    let status = said.status.unwrap_or_default();
    let name = endpoint.name();
    assert!((400..500).contains(&status), "{name}, {what}: {status} {}", said.head);
    assert!(said.is_problem(), "{name}, {what}: no problem document: {}", said.head);
    let echoed = String::from_utf8_lossy(&said.body).into_owned();
    assert!(!echoed.contains("SPOILT"), "{name}, {what}: it repeats the request: {echoed}");
}

/// Bodies that aren't the honest one, whatever that is.
fn spoilt(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for eighth in 0..8 {
        let place = body.len() * eighth / 8;
        all.push((format!("cut at {place}"), body[..place].to_vec()));
        let mut flipped = body.to_vec();
        flipped[place] ^= 0x80;
        all.push((format!("flipped at {place}"), flipped));
        all.push((
            format!("a byte lost at {place}"),
            [&body[..place], &body[place + 1..]].concat(),
        ));
        let cut_in = [&body[..place], &[0xff], &body[place..]].concat();
        all.push((format!("no UTF-8 at {place}"), cut_in));
    }
    let behind = [body, b"x"].concat();
    all.push(("a byte behind it".to_owned(), behind));
    all.push(("twice".to_owned(), [body, body].concat()));
    all.push(("a mark before it".to_owned(), [b"\xef\xbb\xbf", body].concat()));
    let wide = body.iter().flat_map(|byte| [*byte, 0]).collect();
    all.push(("in UTF-16".to_owned(), wide));
    all.push(("zeros".to_owned(), vec![0; body.len()]));
    all
}

/// JSON that isn't the honest one.
fn spoilt_json(honest: &Value) -> Vec<(String, Vec<u8>)> {
    let deep = |open: &str, close: &str, depth| {
        format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes()
    };
    let mut all = vec![
        ("an array".to_owned(), json!([honest]).to_string().into_bytes()),
        ("null".to_owned(), b"null".to_vec()),
        ("a string".to_owned(), json!(honest.to_string()).to_string().into_bytes()),
        ("a number".to_owned(), b"1e999".to_vec()),
        ("no object".to_owned(), b"{}".to_vec()),
        ("deep arrays".to_owned(), deep("[", "]", 6000)),
        ("deep objects".to_owned(), deep("{\"a\":", "}", 2000)),
        ("deep and open".to_owned(), deep("[", "", 12_000)),
        ("a name more".to_owned(), with(honest, "SPOILT", 1).to_string().into_bytes()),
    ];
    let object = honest.as_object().cloned().unwrap_or_default();
    for (name, value) in &object {
        let rest = without(honest, name).to_string();
        let rest = rest.trim_start_matches('{');
        let comma = if rest == "}" { "" } else { "," };
        let as_it_is = |text: &str| format!("{{\"{name}\":{text}{comma}{rest}").into_bytes();
        let twice = format!("{value},\"{name}\":{value}");
        all.push((format!("{name} twice"), as_it_is(&twice)));
        all.push((format!("{name} without an end"), as_it_is("\"")));
        for (what, text) in [
            ("an object", "{}".to_owned()),
            ("true", "true".to_owned()),
            ("too large a number", "1e999".to_owned()),
            ("a number of a thousand digits", "9".repeat(1000)),
            ("a number below zero", "-1".to_owned()),
            ("a fraction", "0.5".to_owned()),
            ("not a number", "NaN".to_owned()),
            ("2^64", "18446744073709551616".to_owned()),
            ("nonsense", "\"SPOILT\"".to_owned()),
            ("half a character", "\"\\ud800\"".to_owned()),
            ("a long text", format!("\"{}\"", "A".repeat(8000))),
            ("deep in itself", format!("{}{}", "[".repeat(200), "]".repeat(200))),
        ] {
            all.push((format!("{name}: {what}"), as_it_is(&text)));
        }
        // An account without a number is a new one: what is optional may be absent.
        if name != "account" {
            all.push((format!("without {name}"), without(honest, name).to_string().into_bytes()));
            all.push((format!("{name}: null"), as_it_is("null")));
        }
    }
    all
}

#[test]
fn every_spoilt_body_is_refused_and_changes_nothing() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)?;
    let mut sent = 0;
    for endpoint in all.iter().filter(|endpoint| !endpoint.body.is_empty()) {
        let mut bodies = spoilt(&endpoint.body);
        if let Some(honest) = endpoint.json() {
            bodies.extend(spoilt_json(&honest));
        }
        for (what, body) in bodies {
            assert_refused(&what, endpoint, &endpoint.send(&body)?);
            sent += 1;
        }
        before.unchanged(&town).with_context(|| endpoint.name())?;
    }
    assert!(sent > 9 * 40, "{sent}");
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}

#[test]
fn every_body_that_is_too_large_is_refused() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    for endpoint in &all {
        // The honest request, and room behind it.
        let mut body = endpoint.body.clone();
        body.resize(TOO_LARGE, b' ');
        let length = ("Content-Length", body.len().to_string());
        let mut headers = endpoint.headers.clone();
        if endpoint.method == "GET" {
            headers.push(length);
        }
        let said = endpoint.send_with(&headers, &body)?;
        assert_refused("large", endpoint, &said);
        assert_eq!(said.status, Some(413), "{}", endpoint.name());
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}

#[test]
fn nothing_is_unpacked() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    // A gzip member of 16 KiB that unpacks to 16 MiB of zeros; whoever unpacked a thousand of these would be seen.
    let bomb = gzip_bomb();
    for endpoint in all.iter().filter(|endpoint| endpoint.method == "POST") {
        for coding in ["gzip", "br", "deflate", "zstd", "x-gzip", "gzip, gzip", "GZIP"] {
            for body in [&bomb, &endpoint.body] {
                let mut headers = endpoint.headers.clone();
                headers.push(("Content-Encoding", coding.to_owned()));
                let said = endpoint.send_with(&headers, body)?;
                assert_refused(coding, endpoint, &said);
                assert_eq!(said.status, Some(415), "{} {coding}", endpoint.name());
            }
        }
        // What isn't encoded may say so.
        let mut headers = endpoint.headers.clone();
        headers.push(("Content-Encoding", "identity".to_owned()));
        assert_eq!(endpoint.send_with(&headers, &endpoint.body)?.status, Some(200));
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}

/// A gzip member (RFC 1952) of stored zeros whose deflate stream repeats one run of 258 over and over (RFC 1951
/// section 3.2.6: two bits a run).
fn gzip_bomb() -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    // A block of fixed codes, the literal 0, then runs of length 258 at distance 1.
    bytes.extend([0x63, 0x60, 0x18]);
    bytes.extend([0x05; 15_000]);
    bytes
}

#[test]
fn every_wrong_media_type_is_refused() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    for endpoint in all.iter().filter(|endpoint| !endpoint.body.is_empty()) {
        for kind in [
            None,
            Some("text/plain"),
            Some("text/json"),
            Some("application/jsonx"),
            Some("application/json+gzip"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=SPOILT"),
            Some("*/*"),
            Some(""),
            Some("SPOILT"),
        ] {
            let mut headers = endpoint.headers_without("Content-Type");
            headers.extend(kind.map(|kind| ("Content-Type", kind.to_owned())));
            let said = endpoint.send_with(&headers, &endpoint.body)?;
            assert_refused(kind.unwrap_or("none"), endpoint, &said);
            assert_eq!(said.status, Some(415), "{} {kind:?}", endpoint.name());
        }
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}

#[test]
fn every_credential_that_is_none_is_refused() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    let authorized = |endpoint: &&Endpoint| {
        endpoint.headers.len() > endpoint.headers_without("Authorization").len()
    };
    for endpoint in all.iter().filter(authorized) {
        let honest = endpoint.headers.iter().find(|(name, _)| *name == "Authorization");
        let honest = honest.map(|(_, value)| value.clone()).context("no credential")?;
        let (scheme, secret) = honest.split_once(' ').context("no scheme")?;
        let cut = &secret[..secret.len() - 3];
        for shown in [
            vec![],
            vec![String::new()],
            vec![scheme.to_owned()],
            vec![secret.to_owned()],
            vec![format!("Basic {secret}")],
            vec![format!("{scheme} SPOILT")],
            vec![format!("{scheme} {cut}")],
            vec![format!("{scheme} {honest}")],
            vec![honest.clone(), honest.clone()],
            vec![format!("{scheme} {}", "0".repeat(8000))],
        ] {
            let mut headers = endpoint.headers_without("Authorization");
            let what = format!("{} of {:?}", shown.len(), shown.first().map(String::len));
            headers.extend(shown.into_iter().map(|value| ("Authorization", value)));
            let said = endpoint.send_with(&headers, &endpoint.body)?;
            assert_refused(&what, endpoint, &said);
            assert_eq!(said.status, Some(401), "{} {what}", endpoint.name());
            assert!(said.head.contains("www-authenticate:"), "{} {what}", endpoint.name());
        }
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}

#[test]
fn every_other_method_and_path_is_refused() -> Result<()> {
    let town = TOWN.lock()?;
    let all = endpoints::all(&town)?;
    let before = Rows::of(&town)?;
    for endpoint in &all {
        let path = endpoint.path.split('?').next().unwrap_or_default();
        for method in ["PUT", "DELETE", "PATCH", "TRACE", "BREW", "get", "PRI"] {
            let request = endtoend::raw::request(method, path, &[], b"");
            let said = endtoend::raw::exchange(endpoint.address, &request)?;
            assert_refused(method, endpoint, &said);
            // (The operator's routes say nothing of themselves to others.)
            let refused = matches!(said.status, Some(401 | 404 | 405));
            assert!(refused, "{} {method}", endpoint.name());
        }
        for path in [
            format!("{path}/"),
            format!("{path}%00"),
            format!("/{path}"),
            format!("{path}/../SPOILT"),
            format!("/%2e%2e{path}"),
            path.to_uppercase(),
        ] {
            let request = endtoend::raw::request(endpoint.method, &path, &[], b"");
            let said = endtoend::raw::exchange(endpoint.address, &request)?;
            assert_refused(&path, endpoint, &said);
        }
    }
    // What is asked for in a query or a path, and is none.
    let long = "0".repeat(1026);
    let of = |service: &str| all.iter().find(|one| one.service == service).context("no endpoint");
    for (service, path) in [
        ("issuer", "/api/v1/public-key".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=SPOILT".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=dedicated-ip&purpose=access".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=dedicated-ip&epoch=-1".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=dedicated-ip&epoch=0".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=dedicated-ip&epoch=4294967295".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=dedicated-ip&epoch=4294967296".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=dedicated-ip&epoch=1e9".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=dedicated-ip&SPOILT=1".to_owned()),
        ("issuer", "/api/v1/public-key?purpose=%ff".to_owned()),
        ("parent", "/attestation?nonce=0".to_owned()),
        ("parent", "/attestation?nonce=SPOILT".to_owned()),
        ("parent", "/attestation?nonce=00&nonce=01".to_owned()),
        ("parent", "/attestation?SPOILT=00".to_owned()),
        ("parent", format!("/attestation?nonce={long}")),
    ] {
        let endpoint = of(service)?;
        let request = endtoend::raw::request("GET", &path, &[], b"");
        let said = endtoend::raw::exchange(endpoint.address, &request)?;
        assert_refused(&path, endpoint, &said);
    }
    endpoints::assert_all_well(&all)?;
    before.unchanged(&town)
}
