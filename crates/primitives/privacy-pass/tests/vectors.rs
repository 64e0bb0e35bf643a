//! The vectors of RFC 9577 appendix A and of RFC 9578 appendix B.2.

use std::error::Error;
use std::time::Duration;

use base64::Engine;
use blind_rsa::{AwsLcSigner, BlindingFactor, PublicKey, RawSigner};
use privacy_pass::{
    ChallengeHeader, DecodeError, KeyId, Nonce, PendingToken, Token, TokenChallenge, TokenHeader,
    TokenInput, TokenResponse, verify_token,
};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn file(name: &str) -> Outcome<Value> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../testdata/blind-rsa/");
    Ok(serde_json::from_slice(&std::fs::read(format!("{root}{name}.json"))?)?)
}

fn list<'a>(file: &'a Value, field: &str) -> Outcome<&'a Vec<Value>> {
    Ok(file.get(field).and_then(Value::as_array).ok_or("the list is missing")?)
}

fn text<'a>(vector: &'a Value, field: &str) -> Option<&'a str> {
    vector.get(field).and_then(Value::as_str)
}

fn bytes(vector: &Value, field: &str) -> Outcome<Vec<u8>> {
    Ok(hex::decode(text(vector, field).ok_or_else(|| format!("{field} is missing"))?)?)
}

fn array<const N: usize>(vector: &Value, field: &str) -> Outcome<[u8; N]> {
    bytes(vector, field)?.try_into().map_err(|_| format!("{field} has the wrong length").into())
}

#[test]
fn rfc9577_structures() -> Outcome<()> {
    let file = file("rfc9577_appendix_a")?;
    let vectors = list(&file, "structure_vectors")?;
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let expected = bytes(vector, "token_authenticator_input")?;
        if text(vector, "token_type") == Some("0000") {
            // Grease: a token type that nobody may know.
            assert_eq!(TokenInput::decode(&expected), Err(DecodeError::TokenType(0)));
            assert_eq!(Token::decode(&expected).err(), Some(DecodeError::TokenType(0)));
            continue;
        }
        let issuer = String::from_utf8(bytes(vector, "issuer_name")?)?;
        let origin = String::from_utf8(bytes(vector, "origin_info")?)?;
        let origins: Vec<&str> = origin.split(',').filter(|name| !name.is_empty()).collect();
        let context = match bytes(vector, "redemption_context")?.is_empty() {
            true => None,
            false => Some(array(vector, "redemption_context")?),
        };
        let challenge = TokenChallenge::new(&issuer, context, &origins)?;
        assert_eq!(TokenChallenge::decode(&challenge.encode())?, challenge);
        let nonce = Nonce::from_bytes(array(vector, "nonce")?);
        let key_id = KeyId::from_bytes(array(vector, "token_key_id")?);
        let input = TokenInput::new(nonce, challenge.digest(), key_id);
        assert_eq!(input.encode(), expected);
        assert_eq!(TokenInput::decode(&expected)?, input);
    }
    Ok(())
}

#[test]
fn rfc9577_headers() -> Outcome<()> {
    let file = file("rfc9577_appendix_a")?;
    let vectors = list(&file, "header_vectors")?;
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let parsed = ChallengeHeader::parse(text(vector, "WWW-Authenticate").ok_or("no header")?)?;
        let count = (0..).take_while(|i| vector.get(format!("token-type-{i}")).is_some()).count();
        assert_eq!(parsed.len(), count);
        for (i, header) in parsed.iter().enumerate() {
            let field = |name: &str| bytes(vector, &format!("{name}-{i}"));
            let age = text(vector, &format!("max-age-{i}")).map(str::parse).transpose()?;
            assert_eq!(header.max_age(), age.map(Duration::from_secs));
            // The raw parts show in what is built from them.
            let built = ChallengeHeader::build(std::slice::from_ref(header));
            let base64 = |bytes| base64::engine::general_purpose::URL_SAFE.encode(bytes);
            assert!(
                built.contains(&format!("challenge=\"{}\"", base64(field("token-challenge")?)))
            );
            assert!(built.contains(&format!("token-key=\"{}\"", base64(field("token-key")?))));

            match text(vector, &format!("token-type-{i}")) {
                Some("0x0002") => {
                    let challenge = header.token_challenge()?;
                    assert_eq!(challenge.encode(), field("token-challenge")?);
                    let key = header.public_key().ok_or("no key")??;
                    assert_eq!(key.spki(), field("token-key")?);
                    assert_eq!(ChallengeHeader::new(&challenge, &key, header.max_age()), *header);
                }
                _ => {
                    assert!(matches!(header.token_challenge(), Err(DecodeError::TokenType(0 | 1))));
                    assert!(matches!(header.public_key(), Some(Err(_))));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn rfc9578_issuance() -> Outcome<()> {
    let file = file("rfc9578_b2_blind_rsa")?;
    let vectors = list(&file, "vectors")?;
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let pem = String::from_utf8(bytes(vector, "skS")?)?;
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body)?;
        let signer = AwsLcSigner::from_pkcs8(&der)?;
        let key = PublicKey::from_spki(&bytes(vector, "pkS")?)?;
        assert_eq!(signer.public_key(), &key);

        let challenge = TokenChallenge::decode(&bytes(vector, "token_challenge")?)?;
        let pending = PendingToken::from_parts(
            &key,
            &challenge.digest(),
            Nonce::from_bytes(array(vector, "nonce")?),
            &array(vector, "salt")?,
            &BlindingFactor::from_bytes(&key, &bytes(vector, "blind")?)?,
        )?;
        assert_eq!(pending.request().encode(), bytes(vector, "token_request")?);
        assert_eq!(pending.request().truncated_key_id(), KeyId::of(&key).truncated());

        let response =
            TokenResponse::decode(&signer.sign_blinded(pending.request().blinded_message())?)?;
        assert_eq!(response.encode(), bytes(vector, "token_response")?);
        let token = pending.finalize(&response)?;
        assert_eq!(token.encode(), bytes(vector, "token")?);
        verify_token(&key, &challenge.digest(), &token)?;
        assert!(TokenHeader::parse(&TokenHeader::build(&token))? == token);
    }
    Ok(())
}
