//! Steps 1 to 12: from an account to an unlinkable token.

use anyhow::Result;
use aws_lc_rs::digest::{SHA256, digest};
use coarse::{Secret, system_rng};
use endtoend::customer::Customer;
use endtoend::evidence::{Received, Stored};
use endtoend::keys;
use endtoend::scene::shared;
use endtoend::services::now;
use epoch_keys::Purpose;
use issuer_api::ISSUANCE_RECEIPT;
use jws::SigningKey;
use privacy_pass::{TokenResponse, verify_token};
use receipt::{
    ENCLAVE_AUDIENCE, Entitlement, Entitlements, ISSUER_AUDIENCE, IssuanceReceipt, MAX_LIFE, Srt,
    SubscriptionVersion,
};
use rsa_raw::Modulus;
use wallet::{DrawError, Drawing};

/// What RSA's public exponent is in every epoch key.
const EXPONENT: u32 = 65_537;

#[test]
fn step_01_the_provider_issues_the_srt() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let boot = customer.services.provider.enclave.boot_configuration()?;
    let answer: accounts_api::MintedSrt = customer.services.srt(&customer.account)?.json()?;
    for audience in [ISSUER_AUDIENCE, ENCLAVE_AUDIENCE] {
        let srt = Srt::verify(answer.srt.as_str(), &boot.srt_keys, audience, now())?;
        assert_eq!(srt.subscription, customer.subscription);
        assert_eq!(srt.entitlements.dedicated_ip.unwrap().did, SubscriptionVersion::new(0));
    }
    let life = now().until(answer.ends.start());
    assert!(life <= MAX_LIFE && life > MAX_LIFE / 2, "{life:?}");

    // No account, no receipt; and one that a client makes by itself is worth nothing.
    let stranger = "000000000000000000000000";
    assert_eq!(customer.services.srt(stranger)?.refusal(), (401, "account-unknown"));
    let own = SigningKey::from_seed(&Secret::random(&mut system_rng()))?;
    let made = receipt_of(&customer).sign(&own, now())?;
    let refused = customer.send(&made, &customer.begin()?)?;
    assert_eq!(refused.refusal(), (401, "srt-refused"));
    Ok(())
}

#[test]
fn step_02_the_client_makes_a_token_and_a_blinding_factor() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let provider = &customer.services.provider;
    let (one, other) = (customer.begin()?, customer.begin()?);
    // Fresh each time, and the same from the same seed: what is on disk can be sent again.
    let blinded =
        |drawing: &Drawing| -> Result<_> { Ok(*drawing.request(provider)?.blinded_message()) };
    assert_ne!(blinded(&one)?, blinded(&other)?);
    assert_eq!(blinded(&one)?, blinded(&one)?);

    // Before anything is blinded the key is held against the pinned tree: here the service shows the key of
    // another epoch as this one's.
    let mut key = customer.services.public_key()?;
    key.epoch = key.epoch.next();
    let begun = Drawing::begin(key, provider, now(), &mut system_rng());
    assert!(matches!(begun, Err(DrawError::Key(_))));
    Ok(())
}

#[test]
fn step_03_the_encoded_token_is_blinded() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let (srt, drawing) = (customer.srt()?, customer.begin()?);
    let blinded = *drawing.request(&customer.services.provider)?.blinded_message();
    let answer = customer.send(&srt, &drawing)?;
    let token = customer.finish(&drawing, &answer)?.token()?.encode();
    let modulus = modulus(&customer)?;

    // What the signature opens to is a PSS encoding (RFC 8017 section 9.1.1: it ends with 0xbc), not the token.
    let signature = &token[token.len() - 256..];
    let encoded = modulus.pow(signature, EXPONENT)?;
    assert_eq!(encoded[255], 0xbc);
    // That encoding times r^e is what was sent; r is what blind and plain signature differ by.
    let factor = modulus.mul(&answer.body, &modulus.inverse(signature)?)?;
    let product = modulus.mul(&encoded, &modulus.pow(&factor, EXPONENT)?)?;
    assert_eq!(product.as_slice(), blinded);
    assert_ne!(encoded.as_slice(), blinded);
    Ok(())
}

#[test]
fn step_04_the_service_gets_the_srt_and_the_blinded_token() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (srt, drawing) = (customer.srt()?, customer.begin()?);
    let request = drawing.request(&customer.services.provider)?;
    let sent = [srt.as_str().as_bytes(), request.blinded_message()];
    assert!(!Received::by(town, "issuer")?.together(&sent));
    customer.send(&srt, &drawing)?;
    assert!(Received::by(town, "issuer")?.together(&sent));
    Ok(())
}

#[test]
fn step_05_the_service_checks_the_srt() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let drawing = customer.begin()?;
    let key = keys::srt_key(town)?;
    let receipt = receipt_of(&customer);
    let ended = now().minus(MAX_LIFE + std::time::Duration::from_secs(3700));
    let without = Srt { entitlements: Entitlements::default(), ..receipt.clone() };
    let spoilt = jws::Compact::new(customer.srt()?.as_str().to_owned() + "A");
    for (srt, refusal) in [
        (receipt.sign(&key, ended)?, (401, "srt-expired")),
        (without.sign(&key, now())?, (403, "purpose-not-covered")),
        (spoilt, (401, "srt-refused")),
        (jws::Compact::new(String::new()), (401, "srt-refused")),
    ] {
        assert_eq!(customer.send(&srt, &drawing)?.refusal(), refusal);
    }
    // The refusals marked nothing: the same draw succeeds with a good one.
    assert_eq!(customer.send(&receipt.sign(&key, now())?, &drawing)?.status, 200);
    Ok(())
}

#[test]
fn step_06_a_subscription_draws_once() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let srt = customer.srt()?;
    assert_eq!(customer.send(&srt, &customer.begin()?)?.status, 200);
    for srt in [srt, customer.srt()?] {
        let refused = customer.send(&srt, &customer.begin()?)?;
        assert_eq!(refused.refusal(), (409, "draw-limit-reached"));
    }
    Ok(())
}

#[test]
fn step_07_the_signature_is_over_the_blinded_token() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let drawing = customer.begin()?;
    let blinded = *drawing.request(&customer.services.provider)?.blinded_message();
    let answer = customer.send(&customer.srt()?, &drawing)?;
    // S' = T'^d, so that S'^e = T'.
    assert_eq!(modulus(&customer)?.pow(&answer.body, EXPONENT)?.as_slice(), blinded);
    Ok(())
}

#[test]
fn step_08_the_draw_is_marked_with_its_answer() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let id = customer.subscription.bytes();
    let marks = "subscriptions WHERE id = ?1 AND version = 0 AND dedicated_ip_drawn = 1";
    assert_eq!(Stored::by(town, "issuer")?.count(marks, [id])?, 0);
    let drawing = customer.begin()?;
    let answer = customer.send(&customer.srt()?, &drawing)?;
    let stored = Stored::by(town, "issuer")?;
    assert_eq!(stored.count(marks, [id])?, 1);
    let kept: Vec<u8> =
        stored.value("SELECT blind_signature FROM answers WHERE subscription = ?1", [id])?;
    assert_eq!(kept, answer.body);
    Ok(())
}

#[test]
fn step_09_the_answer_can_be_had_again() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let (srt, drawing) = (customer.srt()?, customer.begin()?);
    let first = customer.send(&srt, &drawing)?;
    assert_eq!((first.status, first.body.len()), (200, 256));
    assert_eq!(first.header("content-type")?, "application/private-token-response");
    let again = customer.send(&srt, &drawing)?;
    assert_eq!((again.status, again.body), (200, first.body.clone()));

    // The receipt of issuance says to whom, and for which blinded message under which key.
    let boot = customer.services.provider.enclave.boot_configuration()?;
    let claims = IssuanceReceipt::verify(first.header(ISSUANCE_RECEIPT)?, &boot.issuance_keys)?;
    let blinded = *drawing.request(&customer.services.provider)?.blinded_message();
    assert_eq!(claims.subscription, customer.subscription);
    assert_eq!(claims.version, SubscriptionVersion::new(0));
    assert_eq!(claims.blinded_hash, digest(&SHA256, &blinded).as_ref());
    assert_eq!(claims.key, *customer.services.public_key()?.verify(&boot.tree)?.key_id());
    Ok(())
}

#[test]
fn step_10_the_client_unblinds() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let drawing = customer.begin()?;
    let request = drawing.request(&customer.services.provider)?;
    let answer = customer.send(&customer.srt()?, &drawing)?;
    let token = customer.finish(&drawing, &answer)?.token()?.encode();
    let signature = &token[token.len() - 256..];
    assert_ne!(signature, &answer.body[..]);
    // S = S' / r with an r whose e-th power is what the encoding was multiplied by.
    let modulus = modulus(&customer)?;
    let factor = modulus.mul(&answer.body, &modulus.inverse(signature)?)?;
    let encoded = modulus.pow(signature, EXPONENT)?;
    let multiplied = modulus.mul(request.blinded_message(), &modulus.inverse(&encoded)?)?;
    assert_eq!(*modulus.pow(&factor, EXPONENT)?, *multiplied);
    Ok(())
}

#[test]
fn step_11_the_client_verifies() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let provider = &customer.services.provider;
    let drawing = customer.begin()?;
    let answer = customer.send(&customer.srt()?, &drawing)?;
    let receipt = jws::Compact::new(answer.header(ISSUANCE_RECEIPT)?.to_owned());
    // A signature that doesn't hold is not accepted; nothing is lost by it.
    let mut spoilt: [u8; 256] = answer.body[..].try_into()?;
    spoilt[255] ^= 1;
    let refused = drawing.finish(&TokenResponse::new(spoilt), receipt, provider);
    assert!(matches!(refused, Err(DrawError::Answer(_))));
    let token = customer.finish(&drawing, &answer)?.token()?;
    let tree = provider.tree(Purpose::DedicatedIp).unwrap();
    let key = drawing.key().verify(tree)?;
    let challenge = key.challenge(&provider.issuer_name, &provider.origin)?.digest();
    verify_token(key.public_key(), &challenge, &token)?;
    // A receipt for another draw isn't accepted, either.
    let other = Customer::new(shared()?)?;
    let theirs = other.send(&other.srt()?, &other.begin()?)?;
    let receipt = jws::Compact::new(theirs.header(ISSUANCE_RECEIPT)?.to_owned());
    let refused = drawing.finish(&TokenResponse::decode(&answer.body)?, receipt, provider);
    assert!(matches!(refused, Err(DrawError::Receipt)));
    Ok(())
}

#[test]
fn step_12_the_token_is_unknown_to_whoever_signed_it() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let bought = customer.buy()?;
    customer.assign(&bought)?;
    let token = bought.drawn.token()?;
    let encoded = token.encode();
    let signature = &encoded[encoded.len() - 256..];
    let hash = token.spend_hash();
    // The service that signed has seen the subscription and nothing of the token, also in its database.
    let received = Received::by(town, "issuer")?;
    assert!(received.holds(bought.srt.as_str().as_bytes()));
    let files = std::fs::read_dir(town.home("issuer").join("state"))?
        .map(|entry| Ok(std::fs::read(entry?.path()).unwrap_or_default()))
        .collect::<Result<Vec<_>>>()?;
    let subscription = customer.subscription.bytes();
    let stored =
        |secret: &[u8]| files.iter().any(|file| file.windows(secret.len()).any(|it| it == secret));
    assert!(stored(subscription));
    for secret in [token.nonce().as_bytes(), signature, hash.as_bytes()] {
        assert!(!received.holds(secret) && !stored(secret));
    }
    // The service that takes it has seen the token and nothing of the subscription.
    let received = Received::by(town, "dip")?;
    assert!(received.holds(token.nonce().as_bytes()) && received.holds(signature));
    for secret in [bought.srt.as_str().as_bytes(), subscription] {
        assert!(!received.holds(secret));
    }
    Ok(())
}

/// The receipt that accounts would sign for a customer.
fn receipt_of(customer: &Customer) -> Srt {
    let covered = [Entitlement::DedicatedIp];
    Srt {
        subscription: customer.subscription,
        entitlements: Entitlements::new(covered, SubscriptionVersion::new(0)),
    }
}

/// The modulus of this week's key.
fn modulus(customer: &Customer) -> Result<Modulus> {
    let spki = customer.services.public_key()?.public_key.0;
    // 342 bytes of SPKI end with the modulus (256 bytes) and the exponent (5 bytes).
    let modulus = spki.get(spki.len() - 261..spki.len() - 5).unwrap_or_default();
    Ok(Modulus::new(modulus)?)
}
