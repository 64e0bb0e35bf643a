//! The gate: every token that isn't good is refused, and nothing changes.

use std::time::Duration;

use epoch_keys::{CLOCK_SKEW, challenge};
use http::header::WWW_AUTHENTICATE;
use privacy_pass::{ChallengeHeader, Token, TokenHeader};

use crate::fixture::{
    EPOCH, ISSUER, ORIGIN, PURPOSE, Service, assignment, problem, published, start, token,
    token_for,
};

async fn refused(service: &Service, authorization: &[String]) -> String {
    let response = service.post(dip_api::ASSIGN, authorization, assignment("eu-1")).await;
    let (status, slug) = problem(&response);
    assert_eq!(status, 401);
    assert!(response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(service.counts("eu-1").await, [2, 0, 0, 0]);
    assert_eq!(service.enclave.calls(), 0);
    slug
}

#[tokio::test]
async fn without_a_token_there_is_a_challenge() {
    let service = start().await;
    assert_eq!(refused(&service, &[]).await, "token-required");
    // Whatever the body says.
    let response = service.post(dip_api::ASSIGN, &[], "nonsense".into()).await;
    assert_eq!(problem(&response).0, 401);
    let header = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    let [one] = ChallengeHeader::parse(header).unwrap().try_into().unwrap();
    assert_eq!(one.token_challenge(), Ok(challenge(ISSUER, ORIGIN, PURPOSE, EPOCH).unwrap()));
    let spki = one.public_key().unwrap().unwrap().spki();
    assert_eq!(spki, published().0[0].public_key.0);
}

#[tokio::test]
async fn an_epoch_without_a_key_is_asked_for_all_the_same() {
    let service = start().await;
    service.clock.set(PURPOSE.epoch_start(EPOCH.next().next()));
    let response = service.post(dip_api::ASSIGN, &[], String::new()).await;
    let header = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    let [one] = ChallengeHeader::parse(header).unwrap().try_into().unwrap();
    let expected = challenge(ISSUER, ORIGIN, PURPOSE, EPOCH.next().next()).unwrap();
    assert_eq!((one.token_challenge(), one.public_key().is_none()), (Ok(expected), true));
}

#[tokio::test]
async fn spoilt_tokens_are_refused() {
    let service = start().await;
    let bytes = token().encode();
    // Nonce, challenge digest, key id, authenticator.
    for place in [2, 40, 70, 100, 353] {
        let mut spoilt = bytes.clone();
        spoilt[place] ^= 1;
        let spoilt = TokenHeader::build(&Token::decode(&spoilt).unwrap());
        assert_eq!(refused(&service, &[spoilt]).await, "token-refused", "byte {place}");
    }
}

#[tokio::test]
async fn another_origins_token_is_refused() {
    let service = start().await;
    let other = TokenHeader::build(&token_for(EPOCH, "exit.example"));
    assert_eq!(refused(&service, &[other]).await, "token-refused");
}

#[tokio::test]
async fn a_token_is_good_from_its_epochs_start_to_its_deadline() {
    let service = start().await;
    let next = EPOCH.next();
    let header = [TokenHeader::build(&token_for(next, ORIGIN))];
    let second = Duration::from_secs(1);
    service.clock.set(PURPOSE.epoch_start(next).minus(CLOCK_SKEW).minus(second));
    assert_eq!(refused(&service, &header).await, "token-refused");
    service.clock.set(PURPOSE.spend_deadline(next).plus(CLOCK_SKEW));
    assert_eq!(refused(&service, &header).await, "token-refused");
    service.clock.set(PURPOSE.spend_deadline(next));
    let response = service.post(dip_api::ASSIGN, &header, assignment("eu-1")).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn other_headers_are_refused() {
    let service = start().await;
    let good = TokenHeader::build(&token());
    for wrong in [
        vec!["Bearer x".into()],
        vec!["PrivateToken".into()],
        vec!["PrivateToken token=AAAA".into()],
        vec![good.clone(), good.clone()],
        vec![format!("{good}, {good}")],
        vec![good.replace("==", "").replace('"', "") + "AA"],
    ] {
        assert_eq!(refused(&service, &wrong).await, "token-refused", "{wrong:?}");
    }
}
