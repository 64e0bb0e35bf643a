//! COSE_Sign1: accepted is exactly what a model says that is written down here anew, on top of ciborium.

use ciborium::Value;
use nitro::cose::{Sign1, encode};

use crate::fixture::testdata_files;

/// Takes an envelope apart, and checks its form.
pub(crate) fn check(input: &[u8]) {
    let read = Sign1::decode(input);
    let good = read.as_ref().ok().filter(|it| it.check_algorithm().is_ok());
    let payload = good.and_then(|it| it.check_form().ok());
    assert_eq!(payload.map(<[u8]>::to_vec), model(input), "reader and model disagree");
    if let Some(sign1) = read.ok()
        && let Ok(payload) = sign1.check_form()
    {
        assert!((1..=16_384).contains(&payload.len()));
        // Whoever writes an envelope that verifies under a key of its own choice has broken ECDSA or the reader.
        let key = [&[4][..], &[0x17; 96]].concat();
        assert!(sign1.check_signature(&key).is_err());
        assert!(sign1.check_signature(payload).is_err());
    }
}

/// The payload of a document in the one accepted form: tag or none, then exactly what `encode` writes of its parts.
fn model(input: &[u8]) -> Option<Vec<u8>> {
    let bare = input.strip_prefix(&[0xd2]).unwrap_or(input);
    let Ok(Value::Array(parts)) = ciborium::from_reader(bare) else { return None };
    let [
        Value::Bytes(protected),
        Value::Map(unprotected),
        Value::Bytes(payload),
        Value::Bytes(signature),
    ] = parts.as_slice()
    else {
        return None;
    };
    let fits = *protected == [0xa1, 0x01, 0x38, 0x22]
        && unprotected.is_empty()
        && (1..=16_384).contains(&payload.len())
        && signature.len() == 96
        && signature.chunks(48).all(is_scalar)
        && encode(payload, signature) == bare;
    fits.then(|| payload.clone())
}

/// Whether a number is between 1 and the order of P-384 (SEC 2, section 2.5.1) less 1.
fn is_scalar(number: &[u8]) -> bool {
    let order = hex::decode(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    );
    number.iter().any(|byte| *byte > 0) && number < order.expect("hex").as_slice()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = testdata_files("nitro/bad");
    seeds.retain(|document| document.len() < 8000);
    let small = encode(b"payload", &[0x11; 96]);
    seeds.push([&[0xd2], small.as_slice()].concat());
    seeds.push(small);
    seeds.push(encode(b"", &[0x11; 96]));
    seeds.push(encode(b"p", &[0xff; 96]));
    seeds
}
