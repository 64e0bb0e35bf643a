//! Privacy Pass: headers, challenges, requests, answers, tokens, the issuer's directory; the first byte says which.

use std::time::Duration;

use blind_rsa::{PublicKey, RawSigner as _};
use privacy_pass::{
    ChallengeHeader, DirectoryKey, IssuerDirectory, Token, TokenChallenge, TokenHeader, TokenInput,
    TokenRequest, TokenResponse, verify_token,
};

use crate::fixture::{self, SIGNER, TOKEN};
use crate::input::{byte, tagged};

/// Reads one of the structures.
pub(crate) fn check(input: &[u8]) {
    let Some((kind, rest)) = byte(input) else { return };
    match kind % 8 {
        0 => challenges(rest),
        1 => authorization(rest),
        2 => challenge(rest),
        3 => request(rest),
        4 => response(rest),
        5 => token(rest),
        6 => directory(rest),
        _ => key(rest),
    }
}

/// `WWW-Authenticate`: what was read, written and read again is the same.
fn challenges(rest: &[u8]) {
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let Ok(read) = ChallengeHeader::parse(text) else { return };
    let written = ChallengeHeader::build(&read);
    assert_eq!(ChallengeHeader::parse(&written).as_ref(), Ok(&read));
    for header in &read {
        if let Ok(challenge) = header.token_challenge() {
            let encoded = challenge.to_base64url();
            assert!(written.contains(&format!("challenge=\"{encoded}\"")));
            if let Some(Ok(key)) = header.public_key() {
                let made = ChallengeHeader::new(&challenge, &key, header.max_age());
                assert_eq!(made, *header);
            }
        }
    }
    // Beside another scheme it means the same.
    let beside = format!("Basic realm=\"a, b\", {written}");
    assert_eq!(ChallengeHeader::parse(&beside).as_ref(), Ok(&read));
}

/// `Authorization`: one token, which comes back.
fn authorization(rest: &[u8]) {
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let Ok(token) = TokenHeader::parse(text) else { return };
    let written = TokenHeader::build(&token);
    assert!(TokenHeader::parse(&written).is_ok_and(|again| again == token));
    assert!(TokenHeader::parse(&format!("{written}, {written}")).is_err(), "one token only");
    only_ours(&token);
}

fn challenge(rest: &[u8]) {
    let Ok(challenge) = TokenChallenge::decode(rest) else { return };
    assert_eq!(challenge.encode(), rest, "a challenge has one encoding");
    assert!(!challenge.issuer_name().is_empty());
    let origins: Vec<&str> = challenge.origins().collect();
    let context = challenge.redemption_context().copied();
    if let Ok(made) = TokenChallenge::new(challenge.issuer_name(), context, &origins) {
        let again = TokenChallenge::decode(&made.encode()).expect("what was made");
        assert_eq!(again.origins().collect::<Vec<_>>(), origins);
    }
}

fn request(rest: &[u8]) {
    let Ok(request) = TokenRequest::decode(rest) else {
        assert!(rest.len() != TokenRequest::LENGTH || !rest.starts_with(&[0, 2]));
        return;
    };
    assert_eq!(request.encode(), rest);
    assert_eq!(TokenRequest::new(request.truncated_key_id(), *request.blinded_message()), request);
}

/// An answer is good only if it makes a token that verifies.
fn response(rest: &[u8]) {
    let Ok(response) = TokenResponse::decode(rest) else {
        return assert_ne!(rest.len(), TokenResponse::LENGTH);
    };
    assert_eq!(response.encode(), rest);
    if let Ok(token) = fixture::pending().finalize(&response) {
        only_ours(&token);
        assert!(fixture::pending().leads_to(&token));
        assert_eq!(response, fixture::answered(), "there is one good answer");
    }
}

fn token(rest: &[u8]) {
    if let Ok(input) = TokenInput::decode(rest) {
        assert_eq!(input.encode(), rest);
    }
    let Ok(token) = Token::decode(rest) else {
        assert!(rest.len() != Token::LENGTH || !rest.starts_with(&[0, 2]));
        return;
    };
    assert_eq!(token.encode(), rest, "a token has one encoding");
    only_ours(&token);
}

/// Of all tokens that can be written down, the one that was signed verifies.
fn only_ours(token: &Token) {
    let verdict = verify_token(SIGNER.public_key(), &fixture::challenge(), token);
    assert_eq!(verdict.is_ok(), *token == *TOKEN);
}

fn directory(rest: &[u8]) {
    let Ok(directory) = serde_json::from_slice::<IssuerDirectory>(rest) else { return };
    let written = serde_json::to_vec(&directory).expect("a directory is JSON");
    let again: IssuerDirectory = serde_json::from_slice(&written).expect("what was written");
    assert_eq!(again, directory);
    for entry in &directory.token_keys {
        if let Some(Ok(key)) = entry.public_key() {
            assert_eq!(
                DirectoryKey::new(&key, entry.not_before()),
                *entry,
                "a key has one encoding"
            );
        }
    }
}

fn key(rest: &[u8]) {
    let Ok(key) = PublicKey::from_spki(rest) else { return };
    assert_eq!(key.spki(), rest, "a key has one encoding");
    assert_eq!(key.length(), 256);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let key = SIGNER.public_key();
    let names = |context, origins: &[&str]| {
        TokenChallenge::new(fixture::ISSUER, context, origins).expect("names")
    };
    let (bound, free) = (names(Some([8; 32]), &[fixture::ORIGIN, "b"]), names(None, &[]));
    let age = Some(Duration::from_secs(600));
    let headers = ChallengeHeader::build(&[
        ChallengeHeader::new(&bound, key, age),
        ChallengeHeader::new(&free, key, None),
    ]);
    let directory = IssuerDirectory {
        issuer_request_uri: "/token-request".into(),
        token_keys: vec![DirectoryKey::new(key, Some(fixture::NOW)), DirectoryKey::new(key, None)],
    };
    let token = TOKEN.encode();
    vec![
        tagged(0, headers),
        tagged(
            0,
            "Basic realm=\"x\", PrivateToken challenge=AAIAAWEAAAA, max-age=\"1\", Bearer abc==",
        ),
        tagged(0, r#"Digest a="\"", PrivateToken challenge="AAIAAWEAAAA=""#),
        tagged(1, TokenHeader::build(&TOKEN)),
        tagged(2, bound.encode()),
        tagged(2, free.encode()),
        tagged(3, fixture::pending().request().encode()),
        tagged(4, fixture::answered().encode()),
        tagged(5, &token[..TokenInput::LENGTH]),
        tagged(5, &token),
        tagged(6, serde_json::to_vec(&directory).expect("a directory is JSON")),
        tagged(7, key.spki()),
    ]
}
