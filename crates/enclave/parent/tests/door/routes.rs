//! Each answer of the enclave's, as HTTP has it; and what a log says of it.

use attested::Served;
use jws::VerifyingKey;
use service::{ClientError, ReceivedProblem};
use wire::http::{ATTESTATION, GENERATE_TOKENS, MintResponse, REFRESH_TOKENS};
use wire::parent::{Answer, Failure, Request};

use crate::fixture::{LOG, Mood, Room, granted, mint_request, start, start_enclave};

impl Room {
    async fn mint(&self, path: &str) -> Result<MintResponse, ReceivedProblem> {
        let response = self.client.post_json(&self.url, path, &mint_request()).await;
        match response.and_then(|response| service::parse(&response)) {
            Ok(minted) => Ok(minted),
            Err(ClientError::Problem(problem)) => Err(problem),
            Err(other) => panic!("{other}"),
        }
    }

    async fn attest(&self, query: &str) -> Result<Served, ReceivedProblem> {
        let response = self.client.get(&self.url, &format!("{ATTESTATION}{query}")).await;
        match response.and_then(|response| service::parse(&response)) {
            Ok(served) => Ok(served),
            Err(ClientError::Problem(problem)) => Err(problem),
            Err(other) => panic!("{other}"),
        }
    }

    /// Status of an answer to these bytes as JSON.
    async fn post(&self, path: &str, body: &str) -> u16 {
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        match self.client.post_json(&self.url, path, &value).await {
            Ok(response) => response.status().as_u16(),
            Err(ClientError::Problem(problem)) => problem.status,
            Err(other) => panic!("{other}"),
        }
    }
}

fn attested() -> Answer {
    Answer::Attested {
        document: vec![1, 2],
        configuration: b"{}".to_vec(),
        minting_key: vec![3; 32],
        former_keys: vec![vec![4; 32]],
    }
}

#[tokio::test]
async fn orders_and_sealed_requests_are_carried_unread() {
    let room = start().await;
    room.script.answer([granted()]);
    let (order, sealed) = (b"the.secret.order".to_vec(), b"sealed words".to_vec());
    for (path, asked) in [
        (GENERATE_TOKENS, Request::Generate { order: order.clone(), sealed: sealed.clone() }),
        (REFRESH_TOKENS, Request::Refresh { order: order.clone(), sealed: sealed.clone() }),
    ] {
        let minted = room.mint(path).await.unwrap();
        assert_eq!((minted.grant.as_deref(), minted.sealed.0), (Some("a.b.c"), vec![7; 9]));
        assert_eq!(room.script.asked(), [asked]);
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer_without_grant() {
    let room = start().await;
    room.script.answer([Answer::Refused { sealed: vec![7; 9] }]);
    let minted = room.mint(GENERATE_TOKENS).await.unwrap();
    assert_eq!((minted.grant, minted.sealed.0), (None, vec![7; 9]));
}

#[tokio::test]
async fn each_failure_has_its_problem() {
    let room = start().await;
    let booted = Answer::Booted { wrapped_key: vec![], public_key: vec![] };
    let no_text = Answer::Granted { grant: vec![0xff], sealed: vec![] };
    for (answer, status, slug, retry) in [
        (Answer::Failed(Failure::Order), 403, "order-refused", None),
        (Answer::Failed(Failure::OtherKey), 409, "enclave-key-changed", None),
        (Answer::Failed(Failure::Unopenable), 422, "sealed-request-unopenable", None),
        (Answer::Failed(Failure::NotBooted), 503, "enclave-unavailable", Some(2)),
        (Answer::Failed(Failure::Module), 503, "enclave-unavailable", Some(2)),
        (Answer::Failed(Failure::Unknown), 500, "internal", None),
        (Answer::Failed(Failure::Configuration), 500, "internal", None),
        (booted, 500, "internal", None),
        (attested(), 500, "internal", None),
        (no_text, 500, "internal", None),
    ] {
        room.script.answer([answer.clone()]);
        for path in [GENERATE_TOKENS, REFRESH_TOKENS] {
            let problem = room.mint(path).await.unwrap_err();
            let shown = (problem.status, problem.slug(), problem.retry_after);
            assert_eq!(shown, (status, slug, retry), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_request_without_order_does_not_reach_the_enclave() {
    let room = start().await;
    room.script.answer([granted()]);
    for (body, status) in [
        ("{}", 422),
        (r#"{"sealed": "AA"}"#, 422),
        (r#"{"order": "a.b.c"}"#, 422),
        (r#"{"order": "a.b.c", "sealed": "not base64url!"}"#, 422),
        (r#"{"order": "a.b.c", "sealed": "AA", "more": 1}"#, 422),
        (r#"{"order": 5, "sealed": "AA"}"#, 422),
        ("[]", 422),
    ] {
        assert_eq!(room.post(GENERATE_TOKENS, body).await, status, "{body}");
        assert_eq!(room.post(REFRESH_TOKENS, body).await, status, "{body}");
    }
    let long = format!(r#"{{"order": "{}", "sealed": "AA"}}"#, "o".repeat(64 * 1024));
    assert_eq!(room.post(GENERATE_TOKENS, &long).await, 413);
    assert!(room.script.asked().is_empty());
}

#[tokio::test]
async fn an_attestation_carries_the_askers_nonce() {
    let room = start().await;
    room.script.answer([attested()]);
    let served = room.attest("?nonce=0a0b").await.unwrap();
    let key = VerifyingKey::from_bytes([3; 32]);
    let former = vec![VerifyingKey::from_bytes([4; 32])];
    assert_eq!(served, Served::new(vec![1, 2], b"{}".to_vec(), key).with_former_keys(former));
    assert_eq!(room.script.asked(), [Request::Attest { nonce: vec![10, 11] }]);
    let longest = format!("?nonce={}", "ab".repeat(512));
    assert!(room.attest(&longest).await.is_ok() && room.attest("").await.is_ok());
}

#[tokio::test]
async fn a_malformed_nonce_does_not_reach_the_enclave() {
    let room = start().await;
    room.script.answer([attested()]);
    let long = format!("?nonce={}", "ab".repeat(513));
    for query in ["?nonce=xy", "?nonce=abc", "?nonce=ab&nonce=ab", "?other=ab", long.as_str()] {
        let problem = room.attest(query).await.unwrap_err();
        assert_eq!((problem.status, problem.slug()), (400, "nonce-malformed"), "{query}");
    }
    assert!(room.script.asked().is_empty());
}

#[tokio::test]
async fn an_attestation_that_makes_no_sense_is_not_passed_on() {
    let room = start().await;
    let short = |minting_key, former_keys| Answer::Attested {
        document: vec![],
        configuration: vec![],
        minting_key,
        former_keys,
    };
    for answer in [
        short(vec![3], vec![]),
        short(vec![3; 32], vec![vec![3]]),
        granted(),
        Answer::Failed(Failure::Unknown),
    ] {
        room.script.answer([answer]);
        assert_eq!(room.attest("?nonce=ab").await.unwrap_err().status, 500);
    }
    room.script.answer([Answer::Failed(Failure::Module)]);
    assert_eq!(room.attest("?nonce=ab").await.unwrap_err().status, 503);
}

#[tokio::test]
async fn an_enclave_that_is_gone_or_talks_nonsense_is_unavailable() {
    let mut room = start().await;
    for nonsense in [vec![], vec![0, 0, 0, 0], vec![0, 0, 0, 1, 9], vec![255; 9], vec![0, 0, 0, 5]]
    {
        room.script.set([Mood::Sends(nonsense)]);
        let problem = room.mint(GENERATE_TOKENS).await.unwrap_err();
        assert_eq!((problem.status, problem.retry_after), (503, Some(2)));
    }
    room.enclave = None;
    for path in [GENERATE_TOKENS, REFRESH_TOKENS] {
        let problem = room.mint(path).await.unwrap_err();
        let shown = (problem.status, problem.slug(), problem.retry_after);
        assert_eq!(shown, (503, "enclave-unavailable", Some(2)));
    }
    assert_eq!(room.attest("?nonce=ab").await.unwrap_err().status, 503);
}

#[tokio::test]
async fn a_restarted_enclave_is_reached_by_the_next_request() {
    let mut room = start().await;
    room.script.answer([granted()]);
    for _ in 0..3 {
        assert!(room.mint(GENERATE_TOKENS).await.is_ok());
        room.enclave = None;
        room.enclave = Some(start_enclave(&room.socket, &room.script));
    }
    assert_eq!(room.script.asked().len(), 3);
}

#[tokio::test]
async fn nothing_of_a_request_is_logged() {
    let mut room = start().await;
    for answer in [granted(), Answer::Refused { sealed: vec![7; 9] }, attested()] {
        room.script.answer([answer]);
        let _ = room.mint(GENERATE_TOKENS).await;
        let _ = room.attest("?nonce=c0ffee").await;
    }
    let _ = room.attest("?nonce=c0ffeex").await;
    let _ = room.post(REFRESH_TOKENS, r#"{"order": "the.secret.order"}"#).await;
    room.enclave = None;
    let _ = room.mint(REFRESH_TOKENS).await;

    // Of this test and of all that ran so far.
    let text = LOG.text();
    assert!(text.contains(GENERATE_TOKENS) && text.contains("503"), "{text}");
    // Not as text, not as base64url, not as a list of bytes.
    let bytes = format!("{:?}", mint_request().sealed.0);
    let sealed = serde_json::to_string(&mint_request().sealed).unwrap();
    for secret in [
        "secret",
        "c0ffee",
        "nonce",
        "sealed words",
        sealed.trim_matches('"'),
        "a.b.c",
        bytes.trim_matches(['[', ']']),
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
