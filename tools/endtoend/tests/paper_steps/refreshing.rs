//! The eight steps of a refresh.

use anyhow::Result;
use attested::AttestationError;
use coarse::system_rng;
use dip_api::Refreshed;
use endtoend::customer::{Customer, refusal, seal_refresh};
use endtoend::evidence::{Received, Stored};
use endtoend::keys;
use endtoend::scene::shared;
use endtoend::services::now;
use jws::Compact;
use lease::{DRT_LIFE, Dat, LeaseId, lease_end};
use minting::{Drt, RefreshRequest, Refusal};
use peer_key::PeerSecret;
use receipt::{ISSUER_AUDIENCE, Srt};
use wallet::{AnswerError, Leased};
use wire::envelope::{REFRESH_SIZE, REQUEST_OVERHEAD};

#[test]
fn refresh_1_the_client_holds_its_drt() -> Result<()> {
    let town = shared()?;
    let user = endtoend::program::User::logged_in(town)?;
    let leased = user.assign()?.json()?;
    // The wallet keeps what it opened, for its owner alone.
    let wallet: serde_json::Value = serde_json::from_str(&user.wallet().unwrap())?;
    let drt = wallet["dip"]["leased"]["minted"]["drt"].as_str().unwrap();
    let enclave = endtoend::services::Services::of(town)?.attest()?;
    let claims = Drt::verify(drt, &enclave.minting_keys, now())?;
    assert_eq!(claims.lease.to_hex(), leased["lease"]);
    assert_eq!(claims.dip_details.ip.to_string(), leased["dedicated_ip"]);
    assert_eq!(claims.subscription.to_hex(), user.subscription);
    let mode = std::os::unix::fs::MetadataExt::mode(&user.home().join("wallet.json").metadata()?);
    assert_eq!(mode & 0o777, 0o600);
    // After the first refresh what the lease was bought with is gone.
    assert!(wallet["dip"]["leased"]["drawn"]["seed"].is_string());
    user.run(&["dip", "refresh"])?.json()?;
    let wallet: serde_json::Value = serde_json::from_str(&user.wallet().unwrap())?;
    assert!(wallet["dip"]["leased"]["drawn"].is_null());
    Ok(())
}

#[test]
fn refresh_2_accounts_issues_a_fresh_srt() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (_, leased) = customer.lease()?;
    let fresh = customer.srt()?;
    let boot = customer.services.provider.enclave.boot_configuration()?;
    let srt = Srt::verify(fresh.as_str(), &boot.srt_keys, ISSUER_AUDIENCE, now())?;
    assert_eq!(srt.subscription, customer.subscription);
    customer.refresh(&fresh, &leased)?;
    // Without a fresh one there is no refresh.
    let ended = now().minus(receipt::MAX_LIFE + std::time::Duration::from_secs(3700));
    let stale = srt.sign(&keys::srt_key(town)?, ended)?;
    let refused = customer.refresh(&stale, &leased).map(|_| ()).unwrap_err();
    let refused = refused.downcast::<AnswerError>()?;
    assert_eq!(refused, AnswerError::Refused(Refusal::SrtExpired));
    Ok(())
}

#[test]
fn refresh_3_each_request_has_a_key_of_its_own() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let (srt, leased) = customer.lease()?;
    let services = &customer.services;
    // The document answers this very nonce; that of another time is refused.
    let (yesterday, today) = ([1; 32], [2; 32]);
    let served = services.attestation(&yesterday)?;
    let pin = &services.provider.enclave;
    assert!(served.verify(pin, &yesterday, now()).is_ok());
    let replayed = served.verify(pin, &today, now()).map(|_| ());
    assert!(matches!(replayed, Err(AttestationError::Document { check, .. }) if check == "nonce"));

    let (enclave, device) = (services.attest()?, customer.device.public());
    let seal = || leased.seal_request(&srt, &customer.device, &enclave, &mut system_rng());
    let (one, two) = (seal()?, seal()?);
    assert_eq!(seal::recipient(&one.request), Some(enclave.sealing_key));
    assert_ne!(one.request[32..64], two.request[32..64]);
    let lease = leased.minted.lease;
    let refreshed: Refreshed = services.refresh(lease, &one.request)?.json()?;
    assert!(two.open(&refreshed.sealed.0, lease, &device, &enclave, now()).is_err());
    assert!(one.open(&refreshed.sealed.0, lease, &device, &enclave, now()).is_ok());
    Ok(())
}

#[test]
fn refresh_4_srt_and_drt_are_sealed_together() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (_, leased) = customer.lease()?;
    let (srt, enclave) = (customer.srt()?, customer.services.attest()?);
    let (device, lease) = (&customer.device, leased.minted.lease);
    let sealed = leased.seal_request(&srt, device, &enclave, &mut system_rng())?;
    assert_eq!(sealed.request.len(), REFRESH_SIZE + REQUEST_OVERHEAD);
    assert_eq!(customer.services.refresh(lease, &sealed.request)?.status, 200);
    // The DIP service got lease and envelope, the enclave what is in it.
    let (srt, drt) = (srt.as_str().as_bytes(), leased.minted.drt.as_str().as_bytes());
    let dip = Received::by(town, "dip")?;
    assert!(dip.together(&[lease.to_hex().as_bytes(), &sealed.request]));
    assert!(Received::by(town, "parent")?.holds(&sealed.request));
    assert!(Received::by_enclave(town)?.together(&[srt, drt]));
    for service in ["dip", "parent"] {
        let received = Received::by(town, service)?;
        assert!(!received.holds(srt) && !received.holds(drt), "{service}");
    }
    Ok(())
}

#[test]
fn refresh_5_srt_drt_and_lease_must_agree() -> Result<()> {
    let town = shared()?;
    let (one, other) = (Customer::new(town)?, Customer::new(town)?);
    let ((srt, mine), (_, theirs)) = (one.lease()?, other.lease()?);
    let enclave = one.services.attest()?;
    let drt = Drt::verify(mine.minted.drt.as_str(), &enclave.minting_keys, now())?;
    let ended = now().minus(DRT_LIFE + std::time::Duration::from_secs(7200));
    let expired = drt.sign(&keys::minting_key(town)?, ended)?;
    let (drt, dat) = (mine.minted.drt.clone(), mine.minted.dat.clone());
    let (own, foreign) = (mine.minted.lease, theirs.minted.lease);
    for (srt, drt, lease, expected) in [
        (other.srt()?, drt.clone(), own, Refusal::OtherSubscription),
        (srt.clone(), theirs.minted.drt.clone(), foreign, Refusal::OtherSubscription),
        (srt.clone(), drt.clone(), foreign, Refusal::OtherLease),
        (srt.clone(), dat, own, Refusal::Drt),
        (srt.clone(), expired, own, Refusal::DrtExpired),
        (drt.clone(), drt.clone(), own, Refusal::Srt),
    ] {
        assert_eq!(refused(&one, srt, drt, lease)?, expected);
    }
    // A lease that there isn't is told outside of the seal: it is the DIP service's to know.
    let nowhere = LeaseId::random(&mut system_rng());
    let content = RefreshRequest {
        srt: srt.clone(),
        drt,
        device: one.device.public(),
        device_proof: None,
        give_back: false,
    };
    let (sealed, _) = seal_refresh(&content, &one.device, nowhere, &enclave)?;
    let answer = one.services.refresh(nowhere, &sealed)?;
    assert_eq!(answer.refusal(), (404, "lease-unknown"));
    assert_eq!(one.refresh(&srt, &mine)?.lease, own);
    Ok(())
}

#[test]
fn refresh_6_a_new_dat_for_the_same_address() -> Result<()> {
    let mut customer = Customer::new(shared()?)?;
    let (srt, leased) = customer.lease()?;
    // A second device of the same person: its own DAT, for the same address.
    customer.device = PeerSecret::random(&mut system_rng());
    let minted = customer.refresh(&srt, &leased)?;
    assert_eq!((minted.ip, minted.lease), (leased.minted.ip, leased.minted.lease));
    assert_ne!(minted.dat, leased.minted.dat);
    let keys = customer.services.attest()?.minting_keys;
    let dat = Dat::verify(minted.dat.as_str(), &keys, now())?;
    assert!(dat.is_for(&customer.device.public()));
    assert_eq!(dat.dip_details.ip, leased.minted.ip);
    assert_eq!(customer.services.add_peer(&minted.dat, customer.device.public())?.status, 200);
    // It takes nothing from the first device.
    assert_eq!(refreshes(&customer, &srt, &leased)?, leased.minted.ip.to_string());
    Ok(())
}

#[test]
fn refresh_7_a_new_drt_that_nobody_else_sees() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (srt, mut leased) = customer.lease()?;
    let enclave = customer.services.attest()?;
    // As if the first one had been minted a month ago.
    let old = Drt::verify(leased.minted.drt.as_str(), &enclave.minting_keys, now())?;
    let month_ago = now().minus(DRT_LIFE / 2);
    leased.minted.drt = old.sign(&keys::minting_key(town)?, month_ago)?;
    let minted = customer.refresh(&srt, &leased)?;
    assert_ne!(minted.drt, leased.minted.drt);
    let new = Drt::verify(minted.drt.as_str(), &enclave.minting_keys, now())?;
    assert_eq!(new, old);
    assert_eq!(minted.drt_ends, now().plus(DRT_LIFE).hour());
    // Only the enclave, which made it, had it in the clear.
    let drt = minted.drt.as_str().as_bytes();
    assert!(Received::by_enclave(town)?.holds(drt));
    for service in ["dip", "parent", "gateway", "accounts", "issuer"] {
        assert!(!Received::by(town, service)?.holds(drt), "{service}");
    }
    Ok(())
}

#[test]
fn refresh_8_both_return_and_the_lease_is_extended() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (srt, mut leased) = customer.lease()?;
    let ends = |town| -> Result<u32> {
        let until = "SELECT until_week FROM leases WHERE lease = ?1";
        Stored::by(town, "dip")?.value(until, [leased.minted.lease.bytes()])
    };
    // Without a grant nothing is extended (and a refusal has the form of a grant).
    let other = Customer::new(town)?;
    let refusal = refused(&customer, other.srt()?, leased.minted.drt.clone(), leased.minted.lease)?;
    assert_eq!(refusal, Refusal::OtherSubscription);
    let before = ends(town)?;
    let minted = customer.refresh(&srt, &leased)?;
    assert!(ends(town)? >= before);
    assert_eq!(ends(town)?, lease_end(now()).number());
    // What came back serves the next time, too.
    let gateway = leased.gateway.clone();
    leased.renew(minted, gateway);
    let again = customer.refresh(&srt, &leased)?;
    assert_eq!(again.ip, leased.minted.ip);
    Ok(())
}

/// Why a refresh with this content is refused.
fn refused(customer: &Customer, srt: Compact, drt: Compact, lease: LeaseId) -> Result<Refusal> {
    let content = RefreshRequest {
        srt,
        drt,
        device: customer.device.public(),
        device_proof: None,
        give_back: false,
    };
    let (sealed, key) =
        seal_refresh(&content, &customer.device, lease, &customer.services.attest()?)?;
    let answer: Refreshed = customer.services.refresh(lease, &sealed)?.json()?;
    refusal(&key, &answer.sealed.0)
}

/// The address that a further refresh gives.
fn refreshes(customer: &Customer, srt: &Compact, leased: &Leased) -> Result<String> {
    Ok(customer.refresh(srt, leased)?.ip.to_string())
}
