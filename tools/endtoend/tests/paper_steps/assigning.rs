//! Steps 13 to 22: from a token to access and refresh tokens for an address.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use coarse::system_rng;
use dip_api::Assigned;
use encoding::Base64Url;
use endtoend::customer::{Customer, open, refusal, seal_assignment};
use endtoend::evidence::{Received, Stored};
use endtoend::keys;
use endtoend::scene::shared;
use endtoend::services::{REGION, now};
use epoch_keys::Purpose;
use lab::Town;
use lease::{DAT_LIFE, DRT_LIFE, Dat, LeaseId, Order, lease_end};
use minting::{Answer, AssignRequest, Drt, Refusal};
use privacy_pass::{ChallengeHeader, SpendHash, TokenHeader};
use receipt::SubscriptionVersion;
use seal::OpeningKey;
use wire::envelope::{ANSWER_OVERHEAD, ANSWER_SIZE, ASSIGN_SIZE, REQUEST_OVERHEAD};

/// What the enclave's answer takes, sealed, whatever it says.
const SEALED_ANSWER: usize = ANSWER_SIZE + ANSWER_OVERHEAD;

#[test]
fn step_13_token_and_signature_are_presented() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let services = &customer.services;
    let bought = customer.buy()?;
    let (sealed, hash) = customer.seal(&bought, &services.attest()?)?;
    let token = bought.drawn.token()?.encode();

    // Without a token there is a challenge: for the pinned issuer and key, for this service and this week.
    let refused = services.assign(None, REGION, &sealed.request)?;
    assert_eq!(refused.refusal(), (401, "token-required"));
    let challenges = ChallengeHeader::parse(refused.header("www-authenticate")?)?;
    let challenge = challenges.first().context("no challenge")?;
    let tree = services.provider.tree(Purpose::DedicatedIp).context("no tree")?;
    let key = bought.drawn.key().verify(tree)?;
    let expected = key.challenge(&services.provider.issuer_name, &services.provider.origin)?;
    assert_eq!(challenge.token_challenge()?.digest(), expected.digest());
    assert_eq!(challenge.public_key().context("no key")??.spki(), key.public_key().spki());

    // A hash proves nothing, nor does a token with another signature.
    let mut forged = token.to_vec();
    forged[353] ^= 1;
    for shown in [hash.as_bytes().to_vec(), forged] {
        let authorization = format!("PrivateToken token=\"{}\"", Base64Url(shown).to_text());
        let refused = services.assign(Some(&authorization), REGION, &sealed.request)?;
        assert_eq!(refused.refusal(), (401, "token-refused"));
    }
    assert_eq!(Stored::by(shared()?, "dip")?.count(SPENT, [hash.as_bytes()])?, 0);
    assert_eq!(customer.present(&bought.drawn, &sealed.request)?.status, 200);
    assert!(Received::by(shared()?, "dip")?.holds(&token));
    Ok(())
}

#[test]
fn step_14_a_token_is_good_for_one_lease() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let bought = customer.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    assert_eq!(Stored::by(town, "dip")?.count(SPENT, [hash.as_bytes()])?, 0);
    let (first, _) = customer.assign(&bought)?;
    let (again, _) = customer.assign(&bought)?;
    assert_eq!((first.lease, first.ip), (again.lease, again.ip));
    let stored = Stored::by(town, "dip")?;
    assert_eq!(stored.count(SPENT, [hash.as_bytes()])?, 1);
    assert_eq!(stored.count("leases WHERE lease = ?1", [first.lease.bytes()])?, 1);
    Ok(())
}

#[test]
fn step_15_the_address_is_a_free_one_of_the_region() -> Result<()> {
    let town = shared()?;
    let (one, other) = (Customer::new(town)?, Customer::new(town)?);
    let bought = one.buy()?;
    let (sealed, hash) = one.seal(&bought, &one.services.attest()?)?;
    let authorization = TokenHeader::build(&bought.drawn.token()?);
    let refused = one.services.assign(Some(&authorization), "atlantis", &sealed.request)?;
    assert_eq!(refused.refusal(), (422, "region-unknown"));
    assert_eq!(Stored::by(town, "dip")?.count(SPENT, [hash.as_bytes()])?, 0);

    let free = Stored::by(town, "dip")?;
    let (first, _) = one.assign(&bought)?;
    let (_, second) = other.lease()?;
    assert_ne!(first.ip, second.minted.ip);
    let held = Stored::by(town, "dip")?;
    for minted in [&first, &second.minted] {
        let ip: Ipv4Addr = minted.ip.to_string().parse()?;
        assert_eq!(ip.octets()[..3], [127, 77, 0]);
        assert!((1..=254).contains(&ip.octets()[3]));
        let state = "ip_pool WHERE region = 'demo' AND ip = ?1 AND status = ?2";
        let address = minted.ip.bytes();
        assert_eq!(free.count(state, (&address, "available"))?, 1);
        assert_eq!(held.count(state, (&address, "reserved"))?, 1);
    }
    Ok(())
}

#[test]
fn step_16_the_reservation_becomes_a_lease_with_the_grant() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let bought = customer.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    // A content that the enclave refuses: there is a reservation, and that is all.
    let mut wrong = content(&customer, &bought)?;
    wrong.srt = Customer::new(town)?.srt()?;
    let (sealed, key) =
        seal_assignment(&wrong, &customer.device, &hash, &customer.services.attest()?)?;
    let reserved: Assigned = customer.present(&bought.drawn, &sealed)?.json()?;
    assert_eq!(refusal(&key, &reserved.sealed.0)?, Refusal::OtherSubscription);
    let (state, address) = lease_of(town, &hash)?;
    assert_eq!(state, "reserved");

    let (minted, _) = customer.assign(&bought)?;
    assert_eq!(minted.lease, reserved.lease);
    assert_eq!(lease_of(town, &hash)?, ("leased".to_owned(), address.clone()));
    assert_eq!(minted.ip.bytes(), address);
    let until: u32 = Stored::by(town, "dip")?
        .value("SELECT until_week FROM leases WHERE lease = ?1", [minted.lease.bytes()])?;
    assert_eq!(until, lease_end(now()).number());
    Ok(())
}

#[test]
fn step_17_the_enclave_sees_the_real_srt_and_nobody_else_does() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let bought = customer.buy()?;
    customer.assign(&bought)?;
    let srt = bought.srt.as_str().as_bytes();
    assert!(Received::by_enclave(town)?.holds(srt));
    for service in ["dip", "parent", "gateway"] {
        assert!(!Received::by(town, service)?.holds(srt), "{service}");
    }
    // Another person's will not do, however good it is.
    let other = Customer::new(town)?;
    let mut wrong = content(&customer, &bought)?;
    wrong.srt = other.srt()?;
    let hash = bought.drawn.token()?.spend_hash();
    let (sealed, key) =
        seal_assignment(&wrong, &customer.device, &hash, &customer.services.attest()?)?;
    let refused: Assigned = customer.present(&bought.drawn, &sealed)?.json()?;
    assert_eq!(refusal(&key, &refused.sealed.0)?, Refusal::OtherSubscription);
    Ok(())
}

#[test]
fn step_18_the_app_agrees_on_a_key_with_the_enclave() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let bought = customer.buy()?;
    let enclave = customer.services.attest()?;
    let hash = bought.drawn.token()?.spend_hash();
    let content = content(&customer, &bought)?;
    // An envelope names the attested key and carries a fresh one of the app's.
    let (one, key) = seal_assignment(&content, &customer.device, &hash, &enclave)?;
    let (two, other_key) = seal_assignment(&content, &customer.device, &hash, &enclave)?;
    assert_eq!(seal::recipient(&one), Some(enclave.sealing_key));
    assert_eq!(one[..32], two[..32]);
    assert_ne!(one[32..64], two[32..64]);
    // The answer opens for whoever sealed the request, and for nobody else.
    let assigned: Assigned = customer.present(&bought.drawn, &one)?.json()?;
    assert!(matches!(open(&key, &assigned.sealed.0)?, Answer::Granted(_)));
    assert!(open(&other_key, &assigned.sealed.0).is_err());

    // What is sealed to a key in the middle isn't taken by the enclave; the app is told to attest again.
    let middle = OpeningKey::generate(&mut system_rng());
    let sealed = content.seal(&customer.device, &hash, middle.public(), &mut system_rng());
    let (sealed, _) = sealed?;
    let refused = customer.present(&bought.drawn, &sealed)?;
    assert_eq!(refused.refusal(), (409, "enclave-key-changed"));
    Ok(())
}

#[test]
fn step_19_the_sealed_request_goes_with_an_order() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let bought = customer.buy()?;
    let services = &customer.services;
    let enclave = services.attest()?;
    let (sealed, hash) = customer.seal(&bought, &enclave)?;
    let assigned: Assigned = customer.present(&bought.drawn, &sealed.request)?.json()?;
    let (_, address) = lease_of(town, &hash)?;
    let ip = Ipv4Addr::from(<[u8; 4]>::try_from(&address[..])?).to_string().parse()?;
    let (lease, region) = (assigned.lease, REGION.parse()?);
    let order = Order { lease, ip, region, token: hash, frozen: false, notice: None };
    // Order and request, as the parent got them: signatures of Ed25519 are the same each time, once we found the second of its end.
    let (key, received) = (keys::order_key(town)?, Received::by(town, "parent")?);
    let carried = |ago| {
        let signed = order.sign(&key, now().minus(Duration::from_secs(ago)))?;
        Ok::<_, anyhow::Error>(received.together(&[signed.as_str().as_bytes(), &sealed.request]))
    };
    assert!((0..60).map(carried).collect::<Result<Vec<_>>>()?.contains(&true));

    // Without the DIP service's order the enclave does nothing, whoever asks.
    let stranger = jws::SigningKey::from_seed(&coarse::Secret::random(&mut system_rng()))?;
    let refused = services.mint(&order.sign(&stranger, now())?, &sealed.request)?;
    assert_eq!(refused.refusal(), (403, "order-refused"));
    // A request that was sealed for another token can't be put in this one's place.
    let elsewhere = SpendHash::from_bytes([7; 32]);
    let (moved, _) =
        seal_assignment(&content(&customer, &bought)?, &customer.device, &elsewhere, &enclave)?;
    let refused = customer.present(&bought.drawn, &moved)?;
    assert_eq!(refused.refusal(), (422, "sealed-request-unopenable"));
    Ok(())
}

#[test]
fn step_20_the_tokens_are_for_the_address_and_the_device() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let enclave = customer.services.attest()?;
    let (_, leased) = customer.lease()?;
    let minted = &leased.minted;
    let (dat, dat_ends) = Dat::verify_with_end(minted.dat.as_str(), &enclave.minting_keys, now())?;
    assert_eq!(dat.dip_details.ip, minted.ip);
    assert!(dat.is_for(&customer.device.public()));
    assert_eq!(dat_ends, minted.dat_ends);
    assert_eq!(dat_ends, now().plus(DAT_LIFE).hour());
    let drt = Drt::verify(minted.drt.as_str(), &enclave.minting_keys, now())?;
    assert_eq!(drt.subscription, customer.subscription);
    assert_eq!(drt.version, SubscriptionVersion::new(0));
    assert_eq!((drt.lease, drt.dip_details.ip), (minted.lease, minted.ip));
    assert_eq!(minted.drt_ends, now().plus(DRT_LIFE).hour());
    // The address is the one that the DIP service holds for the lease.
    let held: Vec<u8> = Stored::by(town, "dip")?
        .value("SELECT ip FROM leases WHERE lease = ?1", [minted.lease.bytes()])?;
    assert_eq!(held, minted.ip.bytes());
    Ok(())
}

#[test]
fn step_21_both_tokens_are_sealed() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (_, leased) = customer.lease()?;
    for token in [&leased.minted.dat, &leased.minted.drt] {
        let token = token.as_str().as_bytes();
        assert!(Received::by_enclave(town)?.holds(token));
        for service in ["parent", "dip", "accounts", "issuer"] {
            assert!(!Received::by(town, service)?.holds(token), "{service}");
        }
    }
    Ok(())
}

#[test]
fn step_22_the_client_opens_the_answer() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let bought = customer.buy()?;
    let enclave = customer.services.attest()?;
    let (sealed, _) = customer.seal(&bought, &enclave)?;
    let answer = customer.present(&bought.drawn, &sealed.request)?;
    let assigned: Assigned = answer.json()?;
    assert_eq!(assigned.sealed.0.len(), SEALED_ANSWER);
    assert_eq!(assigned.gateway.url, town.url("gateway")?);
    let device = customer.device.public();
    let open = |lease, sealed_answer: &[u8]| {
        sealed.open(sealed_answer, lease, &device, &enclave, now()).map(|minted| minted.ip)
    };
    let ip = open(assigned.lease, &assigned.sealed.0)?;
    assert_eq!(lease_of(town, &bought.drawn.token()?.spend_hash())?.1, ip.bytes());
    // An answer for another lease, or one that was touched on its way, is not accepted.
    let other = LeaseId::random(&mut system_rng());
    assert!(open(other, &assigned.sealed.0).is_err());
    let mut touched = assigned.sealed.0.clone();
    touched[40] ^= 1;
    assert!(open(assigned.lease, &touched).is_err());

    // A refusal looks the same on its way: status, size, form.
    let mut wrong = content(&customer, &bought)?;
    wrong.srt = Customer::new(town)?.srt()?;
    let hash = bought.drawn.token()?.spend_hash();
    let (request, _) = seal_assignment(&wrong, &customer.device, &hash, &enclave)?;
    assert_eq!(request.len(), sealed.request.len());
    assert_eq!(request.len(), ASSIGN_SIZE + REQUEST_OVERHEAD);
    let refused = customer.present(&bought.drawn, &request)?;
    assert_eq!((refused.status, refused.body.len()), (answer.status, answer.body.len()));
    Ok(())
}

/// Rows of a token's hash.
const SPENT: &str = "assignments WHERE token_hash = ?1";

/// What an honest app seals for an assignment.
fn content(customer: &Customer, bought: &endtoend::customer::Bought) -> Result<AssignRequest> {
    let drawn = &bought.drawn;
    Ok(AssignRequest {
        srt: bought.srt.clone(),
        receipt: drawn.receipt().clone(),
        seed: drawn.seed().clone(),
        token: drawn.token()?,
        key: drawn.key().clone(),
        device: customer.device.public(),
        device_proof: None,
    })
}

/// State and address of the lease that a token's hash leads to.
fn lease_of(town: &Town, hash: &SpendHash) -> Result<(String, Vec<u8>)> {
    let stored = Stored::by(town, "dip")?;
    let of_token = |column: &str| {
        format!(
            "SELECT leases.{column} FROM assignments JOIN leases USING (lease) WHERE token_hash = ?1"
        )
    };
    let state = stored.value(&of_token("state"), [hash.as_bytes()])?;
    Ok((state, stored.value(&of_token("ip"), [hash.as_bytes()])?))
}
