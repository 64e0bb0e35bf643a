//! A token's way from a seed to its verifier, and the ways that fail.

use blind_rsa::{AwsLcSigner, BlindingFactor, PublicKey, RawSigner};
use privacy_pass::{
    DecodeError, KeyId, Nonce, PendingError, PendingToken, Token, TokenError, TokenResponse,
    TokenSeed, TokenTrace, verify_token,
};

use fixture::{SIGNERS, digest, issue};

#[cfg(test)]
mod fixture {
    use std::sync::LazyLock;

    use blind_rsa::{AwsLcSigner, RawSigner};
    use privacy_pass::{
        ChallengeDigest, PendingToken, Token, TokenChallenge, TokenResponse, TokenSeed,
    };

    pub(super) static SIGNERS: LazyLock<[AwsLcSigner; 2]> =
        LazyLock::new(|| [0, 1].map(|_| AwsLcSigner::generate(2048).unwrap()));

    pub(super) fn digest(origin: &str) -> ChallengeDigest {
        TokenChallenge::new("issuer.example", Some([4; 32]), &[origin]).unwrap().digest()
    }

    /// A token of the first signer.
    pub(super) fn issue(seed: [u8; 32]) -> Token {
        let [signer, _] = &*SIGNERS;
        let seed = TokenSeed::from_bytes(seed);
        let pending = PendingToken::new(signer.public_key(), &digest("a"), &seed).unwrap();
        let answer = signer.sign_blinded(pending.request().blinded_message()).unwrap();
        pending.finalize(&TokenResponse::decode(&answer).unwrap()).unwrap()
    }
}

#[test]
fn a_token_verifies_and_round_trips() {
    let token = issue([1; 32]);
    let key = SIGNERS[0].public_key();
    assert_eq!(verify_token(key, &digest("a"), &token), Ok(()));
    let bytes = token.encode();
    assert_eq!(bytes.len(), Token::LENGTH);
    assert!(Token::decode(&bytes) == Ok(token.clone()));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    assert_eq!(token.spend_hash().as_bytes(), hash.as_ref());
}

#[test]
fn each_error_has_its_name() {
    let token = issue([1; 32]);
    let [first, second] = SIGNERS.each_ref().map(RawSigner::public_key);
    assert_eq!(verify_token(second, &digest("a"), &token), Err(TokenError::Key));
    assert_eq!(verify_token(first, &digest("b"), &token), Err(TokenError::Challenge));
    let bytes = token.encode();
    // The nonce, and the signature.
    for position in [2, 33, 98, 353] {
        let mut spoilt = bytes.clone();
        spoilt[position] ^= 1;
        let spoilt = Token::decode(&spoilt).unwrap();
        assert_eq!(verify_token(first, &digest("a"), &spoilt), Err(TokenError::Signature));
        assert!(spoilt.spend_hash() != token.spend_hash());
    }
    for (bytes, error) in [
        (&bytes[..353], DecodeError::Length),
        (&[&bytes[..], &[0]].concat(), DecodeError::Length),
        (&[&[0, 1], &bytes[2..]].concat(), DecodeError::TokenType(1)),
        (&[], DecodeError::Length),
    ] {
        assert!(Token::decode(bytes) == Err(error));
    }
}

/// Ten requests could carry one nonce and ten salts. All ten tokens verify; a seed leads to one of them.
#[test]
fn a_request_leads_to_one_token() {
    let signer = &SIGNERS[0];
    let key = signer.public_key();
    let made = |seed| PendingToken::new(key, &digest("a"), &TokenSeed::from_bytes(seed)).unwrap();
    let pending = made([1; 32]);
    assert!(pending.leads_to(&issue([1; 32])));
    assert!(!pending.leads_to(&issue([2; 32])));

    let factor = BlindingFactor::from_bytes(key, &[&[0; 255][..], &[3]].concat()).unwrap();
    let twin = PendingToken::from_parts(key, &digest("a"), *pending.nonce(), &[7; 48], &factor);
    let twin = twin.unwrap();
    let answer = signer.sign_blinded(twin.request().blinded_message()).unwrap();
    let token = twin.finalize(&TokenResponse::decode(&answer).unwrap()).unwrap();
    assert_eq!(verify_token(key, &digest("a"), &token), Ok(()));
    assert!(token.nonce() == pending.nonce() && twin.leads_to(&token));
    assert!(!pending.leads_to(&token));
}

/// Whoever is shown the seed comes to the same request, and knows the token that it leads to.
#[test]
fn a_trace_is_the_pending_tokens_own() {
    let key = SIGNERS[0].public_key();
    let token = issue([1; 32]);
    let seed = |byte| TokenSeed::from_bytes([byte; 32]);
    let pending = PendingToken::new(key, &digest("a"), &seed(1)).unwrap();
    let trace = TokenTrace::new(key, &digest("a"), &seed(1)).unwrap();
    assert_eq!(trace.request(), pending.request());
    assert!(trace.nonce() == pending.nonce() && trace.leads_to(&token));
    let other = TokenTrace::new(key, &digest("a"), &seed(2)).unwrap();
    assert!(other.request() != pending.request() && !other.leads_to(&token));
}

#[test]
fn a_seed_gives_one_request_per_key_and_challenge() {
    let [first, second] = SIGNERS.each_ref().map(RawSigner::public_key);
    let request = |key, origin, seed| {
        let pending = PendingToken::new(key, &digest(origin), &TokenSeed::from_bytes(seed));
        let pending = pending.unwrap();
        (*pending.nonce(), pending.request().clone())
    };
    let (nonce, sent) = request(first, "a", [1; 32]);
    assert_eq!(request(first, "a", [1; 32]), (nonce, sent.clone()));
    assert_eq!(sent.truncated_key_id(), KeyId::of(first).truncated());
    for (other_nonce, other) in
        [request(second, "a", [1; 32]), request(first, "b", [1; 32]), request(first, "a", [2; 32])]
    {
        assert!(other_nonce != nonce);
        assert!(other.blinded_message() != sent.blinded_message());
    }
    assert_eq!(issue([1; 32]).nonce(), &nonce);
}

#[test]
fn the_derivation_is_the_documented_one() {
    // The vectors' key; nonce, salt and factor by BLAKE3's one-shot interface.
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../testdata/blind-rsa/rfc9578_b2_blind_rsa.json"
    );
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let spki = hex::decode(file["vectors"][0]["pkS"].as_str().unwrap()).unwrap();
    let key = PublicKey::from_spki(&spki).unwrap();
    for seed in 0..8u8 {
        let mut input = vec![seed; 32];
        input.extend(KeyId::of(&key).as_bytes());
        input.extend(digest("a").as_bytes());
        let output = |label: &str, length: usize| {
            let context = format!("cloakroom 2026-11 privacy-pass token {label} v1");
            let mut bytes = vec![0; length];
            let mut hasher = blake3::Hasher::new_derive_key(&context);
            hasher.update(&input).finalize_xof().fill(&mut bytes);
            bytes
        };
        let nonce = Nonce::from_bytes(output("nonce", 32).try_into().unwrap());
        let salt = output("salt", 48).try_into().unwrap();
        let stream = output("blinding factor", 256 * 64);
        let factor = stream
            .chunks(256)
            .find_map(|block| BlindingFactor::from_bytes(&key, block).ok())
            .unwrap();
        let by_hand = PendingToken::from_parts(&key, &digest("a"), nonce, &salt, &factor).unwrap();
        let by_seed =
            PendingToken::new(&key, &digest("a"), &TokenSeed::from_bytes([seed; 32])).unwrap();
        assert_eq!(by_seed.nonce(), by_hand.nonce());
        assert_eq!(by_seed.request(), by_hand.request());
    }
}

#[test]
fn a_wrong_answer_is_noticed_and_a_right_one_still_taken() {
    let [right, wrong] = &*SIGNERS;
    let seed = TokenSeed::random(&mut coarse::system_rng());
    let pending = PendingToken::new(right.public_key(), &digest("a"), &seed).unwrap();
    let message = pending.request().blinded_message();
    let answers = [wrong.sign_blinded(message).unwrap_or_else(|_| vec![9; 256]), vec![0xff; 256]];
    for answer in answers {
        let refused = pending.finalize(&TokenResponse::decode(&answer).unwrap());
        assert!(refused == Err(PendingError::Answer));
    }
    let answer = right.sign_blinded(message).unwrap();
    assert!(pending.finalize(&TokenResponse::decode(&answer).unwrap()).is_ok());
}

#[test]
fn keys_of_other_sizes_are_refused() {
    let signer = AwsLcSigner::generate(2176).unwrap();
    let seed = TokenSeed::from_bytes([1; 32]);
    let refused = PendingToken::new(signer.public_key(), &digest("a"), &seed).err();
    assert_eq!(refused, Some(PendingError::KeySize));
}
