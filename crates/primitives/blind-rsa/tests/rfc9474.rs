//! The vectors of RFC 9474 appendix A: a 4096-bit key in all four variants.

use std::error::Error;

use blind_rsa::{AwsLcSigner, BlindingFactor, PublicKey, RawSigner, blind, finalize};
use rsa_raw::{Modulus, PrivateKey};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn bytes(vector: &Value, field: &str) -> Outcome<Vec<u8>> {
    let text = vector.get(field).and_then(Value::as_str).ok_or("a field is missing")?;
    Ok(hex::decode(text)?)
}

fn check(vector: &Value) -> Outcome<()> {
    let get = |field| bytes(vector, field);
    let (message, prepared) = (get("msg")?, get("prepared_msg")?);
    match <[u8; 32]>::try_from(get("msg_prefix")?) {
        Ok(prefix) => assert_eq!(blind_rsa::prepare_randomized(&prefix, &message), prepared),
        Err(none) => {
            assert!(none.is_empty());
            assert_eq!(message, prepared);
        }
    }

    let n = get("n")?;
    let key = PublicKey::from_modulus(&n)?;
    let modulus = Modulus::new(&n)?;
    // The RFC gives the factor's inverse.
    let factor = BlindingFactor::from_bytes(&key, &modulus.inverse(&get("inv")?)?)?;
    let salt = get("salt")?;
    let (blinded, unblinder) = blind(&key, &prepared, &salt, &factor)?;
    assert_eq!(blinded.as_bytes(), get("blinded_msg")?);

    assert_eq!(get("e")?, [1, 0, 1]);
    let private = PrivateKey::from_components(&n, 65_537, &get("d")?, &get("p")?, &get("q")?)?;
    let signer = AwsLcSigner::new(private)?;
    assert_eq!(signer.public_key(), &key);
    let answer = signer.sign_blinded(blinded.as_bytes())?;
    assert_eq!(answer, get("blind_sig")?);

    let signature = finalize(&key, &prepared, salt.len(), &answer, &unblinder)?;
    assert_eq!(signature.as_bytes(), get("sig")?);
    key.verify(&prepared, salt.len(), signature.as_bytes())?;
    assert!(key.verify(&prepared, 48 - salt.len(), signature.as_bytes()).is_err());

    // The encoding itself: what the signature opens to.
    assert_eq!(*modulus.pow(signature.as_bytes(), 65_537)?, get("encoded_msg")?);
    Ok(())
}

#[test]
fn all_four_variants() -> Outcome<()> {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../testdata/blind-rsa/rfc9474_appendix_a.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let vectors = file.get("vectors").and_then(Value::as_array).ok_or("no vectors")?;
    assert_eq!(vectors.len(), 4);
    vectors.iter().try_for_each(check)
}
