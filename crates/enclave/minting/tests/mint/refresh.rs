//! A refresh: whose DRT it is, of which version, for which lease.

use std::time::Duration;

use coarse::{UnixTime, system_rng};
use jws::{Compact, KeySet};
use lease::{
    Dat, DipDetails, ENCLAVE, Extension, ExtensionOrder, Grant, LeaseId, Notice, Order, Release,
};
use minting::{Answer, Drt, RefreshRequest, Refusal};
use privacy_pass::SpendHash;
use receipt::{ACCOUNTS, Entitlement, Entitlements, ISSUER_AUDIENCE, Srt, SubscriptionVersion};
use wire::envelope;
use wire::parent::Failure;

use crate::fixture::{
    NOW, World, failure, minting_key, opened, other_device, role_key, srt_claims, subscription,
};

const SECOND: Duration = Duration::from_secs(1);

/// The refusal of a request that was right before `spoil` had it.
fn refused(spoil: impl FnOnce(&World, &mut RefreshRequest)) -> Option<Refusal> {
    let world = World::new();
    let mut request = world.leased(1, 0);
    spoil(&world, &mut request);
    world.refresh(&request).refusal()
}

#[test]
fn the_holder_gets_new_tokens_for_the_same_lease() {
    let world = World::new();
    let mut request = world.leased(1, 0);
    // A second device refreshes with the same DRT.
    request.device = other_device().public();
    let shown = world.refresh_at(&request, |_| {}, NOW.plus(SECOND * 7200));
    let keys = KeySet::from(world.mint.minting_key());
    let extension = Extension::verify(shown.grant.as_ref().unwrap().as_str(), &keys).unwrap();
    assert_eq!(extension.lease, LeaseId::from_bytes([0xaa; 16]));
    let minted = shown.minted();
    assert_eq!(Drt::verify(minted.drt.as_str(), &keys, NOW), Ok(world.drt_claims(&request)));
    assert!(Dat::verify(minted.dat.as_str(), &keys, NOW).unwrap().is_for(&other_device().public()));
    assert_eq!(minted.dat_ends, Dat::end(NOW.plus(SECOND * 7200)));
}

#[test]
fn content_that_is_no_request_is_malformed() {
    let world = World::new();
    let lease = LeaseId::from_bytes([0xaa; 16]);
    for content in [&b""[..], b"[]", &world.drawn(1, 0, 1).encode().unwrap()[..2000]] {
        let (sealed, key) =
            world.seal(envelope::REFRESH, lease.bytes(), content, envelope::REFRESH_SIZE);
        let order = World::extension_order(&sealed).sign(&world.orders, NOW).unwrap();
        let outcome = world.mint.refresh(order.as_str(), &sealed, NOW, &mut system_rng());
        assert_eq!(opened(outcome.unwrap(), &key).refusal(), Some(Refusal::Malformed));
    }
}

#[test]
fn an_srt_is_wanted_at_every_refresh() {
    let foreign = refused(|_, request| {
        request.srt = srt_claims(1, 0).sign(&role_key(9), NOW).unwrap();
    });
    assert_eq!(foreign, Some(Refusal::Srt));
    let for_the_issuer = refused(|world, request| {
        let (end, claims) = (Some(Srt::end(NOW)), srt_claims(1, 0));
        let srt = jws::sign(&world.accounts, ACCOUNTS, &[ISSUER_AUDIENCE], end, &claims);
        request.srt = srt.unwrap();
    });
    assert_eq!(for_the_issuer, Some(Refusal::Srt));
    let uncovered = refused(|world, request| {
        let entitlements = Entitlements::new([Entitlement::Access], SubscriptionVersion::new(0));
        let srt = Srt { subscription: subscription(1), entitlements };
        request.srt = srt.sign(&world.accounts, NOW).unwrap();
    });
    assert_eq!(uncovered, Some(Refusal::NotEntitled));
}

#[test]
fn an_srt_ends_a_minute_after_its_hour() {
    let world = World::new();
    let request = world.leased(1, 0);
    let end = Srt::end(NOW).start().plus(jws::CLOCK_SKEW);
    let at = |now: UnixTime| world.refresh_at(&request, |_| {}, now).refusal();
    assert_eq!(at(end.minus(SECOND)), None);
    assert_eq!(at(end), Some(Refusal::SrtExpired));
}

#[test]
fn a_drt_ends_after_sixty_days() {
    let world = World::new();
    let mut request = world.leased(1, 0);
    let end = Drt::end(NOW).start().plus(jws::CLOCK_SKEW);
    let mut at = |now: UnixTime| {
        request.srt = srt_claims(1, 0).sign(&world.accounts, now).unwrap();
        world.refresh_at(&request, |_| {}, now).refusal()
    };
    assert_eq!(at(end.minus(SECOND)), None);
    assert_eq!(at(end), Some(Refusal::DrtExpired));
    let days = NOW.until(end).as_secs() / 86_400;
    assert!((59..=60).contains(&days), "{days}");
}

#[test]
fn a_drt_is_the_enclaves_own_and_has_an_end() {
    let with = |make: &dyn Fn(&Drt) -> Compact| {
        refused(|world, request| request.drt = make(&world.drt_claims(request)))
    };
    let end = Some(Drt::end(NOW));
    assert_eq!(with(&|drt| drt.sign(&minting_key(), NOW).unwrap()), None);
    let wrong: [&dyn Fn(&Drt) -> Compact; 5] = [
        &|drt| drt.sign(&role_key(9), NOW).unwrap(),
        &|drt| drt.sign(&role_key(3), NOW).unwrap(),
        &|drt| jws::sign(&minting_key(), ENCLAVE, &["gateway"], end, drt).unwrap(),
        &|drt| jws::sign(&minting_key(), ENCLAVE, &[ENCLAVE], None, drt).unwrap(),
        &|_| Compact::new("a.b.c".into()),
    ];
    for make in wrong {
        assert_eq!(with(make), Some(Refusal::Drt));
    }
}

#[test]
fn a_dat_is_no_drt_and_a_drt_no_dat() {
    let world = World::new();
    let minted = world.assign(&world.drawn(1, 0, 1)).minted();
    let keys = KeySet::from(world.mint.minting_key());
    assert_eq!(Dat::verify(minted.drt.as_str(), &keys, NOW), Err(jws::Error::Type));
    let shown_as_drt = refused(|_, request| request.drt = minted.dat.clone());
    assert_eq!(shown_as_drt, Some(Refusal::Drt));
}

#[test]
fn a_drt_is_for_its_own_subscription() {
    let refusal = refused(|world, request| request.srt = world.srt(2, 0));
    assert_eq!(refusal, Some(Refusal::OtherSubscription));
}

#[test]
fn a_reset_ends_former_drts() {
    let with_srt = |version| {
        let world = World::new();
        let mut request = world.leased(1, 3);
        request.srt = world.srt(1, version);
        world.refresh(&request).refusal()
    };
    assert_eq!(with_srt(3), None);
    assert_eq!(with_srt(4), Some(Refusal::Reset));
    // It is the SRT that is from before the reset: the lease is good, a newer SRT is wanted.
    assert_eq!(with_srt(2), Some(Refusal::Srt));
}

#[test]
fn a_drt_is_for_its_own_lease_address_and_region() {
    let with = |change: &dyn Fn(&mut ExtensionOrder)| {
        let world = World::new();
        world.refresh_at(&world.leased(1, 0), change, NOW).refusal()
    };
    assert_eq!(with(&|_| {}), None);
    let other = Some(Refusal::OtherLease);
    assert_eq!(with(&|order| order.lease = LeaseId::from_bytes([0xbb; 16])), other);
    assert_eq!(with(&|order| order.ip = "203.0.113.8".parse().unwrap()), other);
    assert_eq!(with(&|order| order.region = "eu-2".parse().unwrap()), other);
}

#[test]
fn a_frozen_lease_gets_a_notice_and_only_its_holder_does() {
    let world = World::new();
    let mut request = world.leased(1, 0);
    let said = Notice { reference: "17".parse().unwrap(), text: "stop it".parse().unwrap() };
    let frozen = |order: &mut ExtensionOrder| {
        order.frozen = true;
        order.notice = Some(said.clone());
    };
    assert_eq!(world.refresh_at(&request, frozen, NOW).frozen(), said);
    let silently = |order: &mut ExtensionOrder| order.frozen = true;
    assert_eq!(world.refresh_at(&request, silently, NOW).frozen(), Notice::frozen());
    request.srt = world.srt(2, 0);
    let refusal = world.refresh_at(&request, frozen, NOW).refusal();
    assert_eq!(refusal, Some(Refusal::OtherSubscription));
}

#[test]
fn a_notice_comes_with_the_tokens_of_a_lease_that_is_not_frozen() {
    let world = World::new();
    let request = world.leased(1, 0);
    let said = Notice { reference: "17".parse().unwrap(), text: "please".parse().unwrap() };
    let with = |order: &mut ExtensionOrder| order.notice = Some(said.clone());
    assert_eq!(world.refresh_at(&request, with, NOW).minted().notice, Some(said.clone()));
    assert_eq!(world.refresh(&request).minted().notice, None);
}

#[test]
fn a_lease_is_given_back_by_its_holder_alone_and_no_tokens_come_of_it() {
    let world = World::new();
    let mut request = world.leased(1, 0);
    request.give_back = true;
    for frozen in [false, true] {
        let shown = world.refresh_at(&request, |order| order.frozen = frozen, NOW);
        assert_eq!(shown.answer, Answer::GivenBack);
        let keys = KeySet::from(world.mint.minting_key());
        let grant = shown.grant.unwrap();
        let release = Release::verify(grant.as_str(), &keys).unwrap();
        assert_eq!(release.lease, LeaseId::from_bytes([0xaa; 16]));
        assert_eq!(Extension::verify(grant.as_str(), &keys), Err(jws::Error::Type));
        // When the last access token for the address has ended.
        assert!(release.ends.start() >= Dat::end(NOW).start().plus(jws::CLOCK_SKEW));
        assert!(release.ends <= NOW.plus(lease::DAT_LIFE).week().next());
    }
    request.srt = world.srt(2, 0);
    assert_eq!(world.refresh(&request).refusal(), Some(Refusal::OtherSubscription));
    request.srt = world.srt(1, 1);
    assert_eq!(world.refresh(&request).refusal(), Some(Refusal::Reset));
}

#[test]
fn one_srt_refreshes_one_of_ten_leases() {
    let world = World::new();
    let srt = world.srt(1, 0);
    let refused = (1..=10)
        .map(|subscriber| {
            let drt = Drt {
                subscription: subscription(subscriber),
                version: SubscriptionVersion::new(0),
                lease: LeaseId::from_bytes([subscriber; 16]),
                dip_details: DipDetails { ip: "203.0.113.7".parse().unwrap() },
                region: "eu-1".parse().unwrap(),
            };
            let request = RefreshRequest {
                srt: srt.clone(),
                drt: drt.sign(&minting_key(), NOW).unwrap(),
                device: other_device().public(),
                device_proof: None,
                give_back: false,
            };
            world.refresh_at(&request, |order| order.lease = drt.lease, NOW).refusal()
        })
        .collect::<Vec<_>>();
    assert_eq!(refused[0], None);
    assert_eq!(refused[1..], [Some(Refusal::OtherSubscription); 9]);
}

#[test]
fn an_order_is_the_dip_services_own_and_for_this_request() {
    let world = World::new();
    let request = world.leased(1, 0);
    let lease = LeaseId::from_bytes([0xaa; 16]);
    let (sealed, _) = world.seal_refresh(&request, lease);
    let (other, _) = world.seal_refresh(&request, lease);
    let order = World::extension_order(&sealed);
    let ExtensionOrder { ip, ref region, request: hash, .. } = order;
    let token = SpendHash::from_bytes(hash.0);
    let ends = lease::lease_end(NOW);
    world.look();
    for wrong in [
        order.sign(&role_key(9), NOW).unwrap(),
        order.sign(&minting_key(), NOW).unwrap(),
        order.sign(&world.orders, NOW.minus(lease::ORDER_LIFE + jws::CLOCK_SKEW)).unwrap(),
        Order { lease, ip, region: region.clone(), token, frozen: false, notice: None }
            .sign(&world.orders, NOW)
            .unwrap(),
        Grant { lease, token, ends }.sign(&world.orders).unwrap(),
        Extension { lease, request: hash, ends }.sign(&world.orders).unwrap(),
        World::extension_order(&other).sign(&world.orders, NOW).unwrap(),
        Compact::new("a.b.c".into()),
    ] {
        let outcome = world.mint.refresh(wrong.as_str(), &sealed, NOW, &mut system_rng());
        assert_eq!(failure(outcome), Failure::Order);
        assert!(world.look().is_empty(), "something was opened for a bad order");
    }
    let order = order.sign(&world.orders, NOW).unwrap();
    assert!(world.mint.refresh(order.as_str(), &sealed, NOW, &mut system_rng()).is_ok());
}

#[test]
fn a_sealed_request_is_bound_to_its_lease_type_key_and_size() {
    let world = World::new();
    let request = world.leased(1, 0);
    let lease = LeaseId::from_bytes([0xaa; 16]);
    let (sealed, _) = world.seal_refresh(&request, lease);
    world.look();
    let ask = |sealed: &[u8]| {
        let order = World::extension_order(sealed).sign(&world.orders, NOW).unwrap();
        failure(world.mint.refresh(order.as_str(), sealed, NOW, &mut system_rng()))
    };
    let (moved, _) = world.seal_refresh(&request, LeaseId::from_bytes([0xbb; 16]));
    assert_eq!(ask(&moved), Failure::Unopenable);
    let plaintext = request.encode().unwrap();
    let (assign, _) =
        world.seal(envelope::ASSIGN, lease.bytes(), &plaintext, envelope::REFRESH_SIZE);
    assert_eq!(ask(&assign), Failure::Unopenable);
    let longer = [&sealed[..], &[0]].concat();
    for wrong in [&[][..], &sealed[..64], &sealed[..sealed.len() - 1], &longer] {
        assert_eq!(ask(wrong), Failure::Unopenable);
    }
    let (former, _) = World::new().seal_refresh(&request, lease);
    assert_eq!(ask(&former), Failure::OtherKey);
    assert!(world.look().is_empty());
}
