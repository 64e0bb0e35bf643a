//! A first assignment: who gets tokens, and what each refusal and failure is for.

use std::time::Duration;

use blind_rsa::{BlindingFactor, RawSigner};
use coarse::{Epoch, Secret, UnixTime, system_rng};
use epoch_keys::{CommitmentTree, Proof, Purpose, TreePin};
use jws::{Compact, KeySet, SigningKey};
use lease::{Dat, ExtensionOrder, Grant, LeaseId, Notice, Order, RequestHash};
use minting::{AssignRequest, Drt, Mint, Refusal};
use privacy_pass::{KeyId, PendingToken, Token};
use receipt::{ACCOUNTS, ENCLAVE_AUDIENCE, Entitlement, Entitlements, ISSUER_AUDIENCE, Srt};
use seal::OpeningKey;
use wire::envelope;
use wire::parent::Failure;

use crate::fixture::{
    EPOCH, NOW, World, blind_signature, device, failure, minting_key, opened, other_device,
    pending, role_key, srt_claims, subscription,
};

type Spoil<'a> = &'a dyn Fn(&World, &mut AssignRequest);

/// The refusal of a request that was right before `spoil` had it.
fn refused(spoil: impl FnOnce(&World, &mut AssignRequest)) -> Option<Refusal> {
    let world = World::new();
    let mut request = world.drawn(1, 0, 1);
    spoil(&world, &mut request);
    world.assign(&request).refusal()
}

#[test]
fn who_drew_the_token_gets_tokens_for_the_ordered_address() {
    let world = World::new();
    let request = world.drawn(1, 0, 1);
    let order = World::order(&request);
    let shown = world.assign(&request);
    let keys = KeySet::from(world.mint.minting_key());
    let grant = Grant::verify(shown.grant.as_ref().unwrap().as_str(), &keys).unwrap();
    let ends = lease::lease_end(NOW);
    assert_eq!(grant, Grant { lease: order.lease, token: order.token, ends });
    let minted = shown.minted();
    assert_eq!((minted.lease, minted.ip, &minted.region), (order.lease, order.ip, &order.region));
    let dat = Dat::verify(minted.dat.as_str(), &keys, NOW).unwrap();
    assert!(dat.is_for(&request.device) && !dat.is_for(&other_device().public()));
    assert_eq!((dat.dip_details.ip, &dat.region), (order.ip, &order.region));
    let drt = Drt::verify(minted.drt.as_str(), &keys, NOW).unwrap();
    assert_eq!((drt.subscription, drt.lease), (subscription(1), order.lease));
}

#[test]
fn a_retry_gives_the_same_address_and_lease() {
    let world = World::new();
    let request = world.drawn(1, 0, 1);
    let first = world.assign(&request).minted();
    let again = world.assign_at(&request, &World::order(&request), NOW.plus(HOUR)).minted();
    assert_eq!((again.lease, again.ip, &again.region), (first.lease, first.ip, &first.region));
    let keys = KeySet::from(world.mint.minting_key());
    let drt = |minted: &minting::Minted| Drt::verify(minted.drt.as_str(), &keys, NOW).unwrap();
    assert_eq!(drt(&again), drt(&first));
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn content_that_is_no_request_is_malformed() {
    let world = World::new();
    let good = world.drawn(1, 0, 1).encode().unwrap();
    // It wants but the proof, which is made where it is sealed.
    assert_eq!(world.assign_content(&good).refusal(), Some(Refusal::Device));
    let text = std::str::from_utf8(&good).unwrap();
    let refresh = world.leased(1, 0).encode().unwrap();
    for content in [
        &b""[..],
        b"{}",
        &good[1..],
        format!("{text} ?").as_bytes(),
        text.replacen('{', r#"{"more":1,"#, 1).as_bytes(),
        text.replace(&"01".repeat(32), "01").as_bytes(),
        &refresh,
    ] {
        assert_eq!(world.assign_content(content).refusal(), Some(Refusal::Malformed));
    }
}

#[test]
fn an_srt_is_accounts_own_and_for_the_enclave() {
    let sign = |key: &SigningKey, issuer: &str, audience: &str| {
        let end = Some(Srt::end(NOW));
        jws::sign(key, issuer, &[audience], end, &srt_claims(1, 0)).unwrap()
    };
    let with =
        |make: &dyn Fn(&World) -> Compact| refused(|world, request| request.srt = make(world));
    assert_eq!(with(&|world| sign(&world.accounts, ACCOUNTS, ENCLAVE_AUDIENCE)), None);
    let wrong: [&dyn Fn(&World) -> Compact; 5] = [
        &|_| sign(&role_key(9), ACCOUNTS, ENCLAVE_AUDIENCE),
        &|world| sign(&world.issuance, ACCOUNTS, ENCLAVE_AUDIENCE),
        &|world| sign(&world.accounts, ACCOUNTS, ISSUER_AUDIENCE),
        &|world| sign(&world.accounts, "dip-service", ENCLAVE_AUDIENCE),
        &|world| world.drawn(1, 0, 1).receipt,
    ];
    for make in wrong {
        assert_eq!(with(make), Some(Refusal::Srt));
    }
    assert_eq!(with(&|_| Compact::new("a.b.c".into())), Some(Refusal::Srt));
}

#[test]
fn an_srt_ends_a_minute_after_its_hour() {
    let world = World::new();
    let request = world.drawn(1, 0, 1);
    let end = Srt::end(NOW).start();
    let at = |now: UnixTime| world.assign_at(&request, &World::order(&request), now).refusal();
    assert_eq!(at(end.plus(jws::CLOCK_SKEW).minus(Duration::from_secs(1))), None);
    assert_eq!(at(end.plus(jws::CLOCK_SKEW)), Some(Refusal::SrtExpired));
}

#[test]
fn a_subscription_without_dedicated_ip_gets_none() {
    let refusal = refused(|world, request| {
        let entitlements = Entitlements::new([Entitlement::Access], Default::default());
        let srt = Srt { subscription: subscription(1), entitlements };
        request.srt = srt.sign(&world.accounts, NOW).unwrap();
    });
    assert_eq!(refusal, Some(Refusal::NotEntitled));
}

#[test]
fn a_receipt_is_the_issuers_own() {
    for key in [role_key(9), role_key(1), role_key(3)] {
        let refusal = refused(|world, request| {
            request.receipt = world.receipt(&pending(1), 1, 0).sign(&key).unwrap();
        });
        assert_eq!(refusal, Some(Refusal::Receipt));
    }
    let refusal = refused(|_, request| request.receipt = request.srt.clone());
    assert_eq!(refusal, Some(Refusal::Receipt));
}

#[test]
fn a_token_is_for_the_subscription_and_version_that_drew_it() {
    let with_srt = |subscriber, version| {
        let world = World::new();
        let mut request = world.drawn(1, 3, 1);
        request.srt = world.srt(subscriber, version);
        world.assign(&request).refusal()
    };
    assert_eq!(with_srt(1, 3), None);
    assert_eq!(with_srt(2, 3), Some(Refusal::OtherSubscription));
    assert_eq!(with_srt(1, 4), Some(Refusal::OtherSubscription));
    // The SRT was minted before the reset that the token was drawn after: a newer one is wanted.
    assert_eq!(with_srt(1, 2), Some(Refusal::Srt));
}

#[test]
fn the_key_is_the_one_that_the_tree_commits_to() {
    let foreign = blind_rsa::AwsLcSigner::generate(2048).unwrap().public_key().spki();
    let tree = CommitmentTree::build(Purpose::DedicatedIp, EPOCH, &[&foreign]).unwrap();
    let next = Epoch::new(EPOCH.number() + 1);
    let spoil: [Spoil<'_>; 7] = [
        &|_, request| request.key.public_key = encoding::Base64Url(foreign.clone()),
        // With a proof of its own, for a tree of its own.
        &|_, request| {
            request.key.public_key = encoding::Base64Url(foreign.clone());
            request.key.proof = tree.proof(EPOCH).unwrap();
        },
        &|_, request| request.key.proof = Proof::from_bytes(&[0; Proof::LENGTH]).unwrap(),
        &|_, request| request.key.epoch = next,
        &|_, request| request.key.purpose = Purpose::Access,
        &|_, request| request.key.epoch = Epoch::new(EPOCH.number() - 1),
        &|world, request| request.key = world.published(next),
    ];
    for (index, spoil) in spoil.into_iter().enumerate() {
        assert_eq!(refused(spoil), Some(Refusal::Key), "{index}");
    }
    // The receipt says that another key signed.
    let refusal = refused(|world, request| {
        let mut receipt = world.receipt(&pending(1), 1, 0);
        receipt.key = KeyId::of(World::signer(next).public_key());
        request.receipt = receipt.sign(&world.issuance).unwrap();
    });
    assert_eq!(refusal, Some(Refusal::Key));
}

#[test]
fn a_tree_of_another_purpose_gives_no_address() {
    let mut world = World::new();
    let spki = World::signer(EPOCH).public_key().spki();
    // An epoch of `access` that it is day in now.
    let epoch = Purpose::Access.epoch_at(NOW);
    let tree = CommitmentTree::build(Purpose::Access, epoch, &[&spki]).unwrap();
    world.boot.tree = TreePin { purpose: Purpose::Access, first_epoch: epoch, root: tree.root() };
    let opening = OpeningKey::generate(&mut system_rng());
    let mint = Mint::new(world.boot.clone(), opening, minting_key(), ());
    let mut request = world.drawn(1, 0, 1);
    request.key.purpose = Purpose::Access;
    request.key.epoch = epoch;
    request.key.proof = tree.proof(epoch).unwrap();
    let order = World::order(&request);
    let sealed = request.seal(&device(), &order.token, mint.sealing_key(), &mut system_rng());
    let (sealed, key) = sealed.unwrap();
    let order = order.sign(&world.orders, NOW).unwrap();
    let outcome = mint.assign(order.as_str(), &sealed, NOW, &mut system_rng()).unwrap();
    assert_eq!(opened(outcome, &key).refusal(), Some(Refusal::Key));
}

#[test]
fn a_token_is_spendable_from_its_epoch_to_its_deadline() {
    let world = World::new();
    let purpose = Purpose::DedicatedIp;
    let second = Duration::from_secs(1);
    let at = |now: UnixTime| {
        let mut request = world.drawn(1, 0, 1);
        request.srt = srt_claims(1, 0).sign(&world.accounts, now).unwrap();
        world.assign_at(&request, &World::order(&request), now).refusal()
    };
    let last = purpose.spend_deadline(EPOCH).plus(epoch_keys::CLOCK_SKEW);
    assert_eq!(at(last.minus(second)), None);
    assert_eq!(at(last), Some(Refusal::Key));
    let first = purpose.epoch_start(EPOCH).minus(epoch_keys::CLOCK_SKEW);
    assert_eq!(at(first), None);
    assert_eq!(at(first.minus(second)), Some(Refusal::Key));
}

#[test]
fn the_seed_is_this_tokens() {
    let refusal = refused(|_, request| request.seed = Secret::new([2; 32]));
    assert_eq!(refusal, Some(Refusal::Seed));
    // A receipt for another blinded message.
    let refusal = refused(|world, request| {
        request.receipt = world.receipt(&pending(2), 1, 0).sign(&world.issuance).unwrap();
    });
    assert_eq!(refusal, Some(Refusal::Seed));
    // Another token that is good.
    let refusal = refused(|world, request| request.token = world.drawn(1, 0, 2).token);
    assert_eq!(refusal, Some(Refusal::Seed));
}

#[test]
fn a_token_is_signed_by_the_epochs_key() {
    let spoilt = |place: usize| {
        refused(|_, request| {
            let mut bytes = request.token.encode();
            bytes[place] ^= 1;
            request.token = Token::decode(&bytes).unwrap();
        })
    };
    assert_eq!(spoilt(34), Some(Refusal::Token), "challenge");
    assert_eq!(spoilt(66), Some(Refusal::Token), "key");
    assert_eq!(spoilt(300), Some(Refusal::Token), "signature");
}

#[test]
fn the_token_is_the_one_that_was_presented() {
    let world = World::new();
    let request = world.drawn(1, 0, 1);
    let presented = World::order(&world.drawn(2, 0, 2));
    let shown = world.assign_at(&request, &presented, NOW);
    assert_eq!(shown.refusal(), Some(Refusal::Token));
}

#[test]
fn ten_subscriptions_tokens_give_one_srt_one_address() {
    let world = World::new();
    let mine = world.drawn(1, 0, 1);
    for number in 2..=10 {
        // With their own receipts, with mine, and with my seed, too.
        let mut theirs = world.drawn(number, 0, number);
        theirs.srt = mine.srt.clone();
        assert_eq!(world.assign(&theirs).refusal(), Some(Refusal::OtherSubscription));
        theirs.receipt = mine.receipt.clone();
        assert_eq!(world.assign(&theirs).refusal(), Some(Refusal::Seed));
        theirs.seed = mine.seed.clone();
        assert_eq!(world.assign(&theirs).refusal(), Some(Refusal::Seed));
    }
    assert_eq!(world.assign(&mine).refusal(), None);
}

/// Ten subscriptions, nine to be refunded, draw ten tokens with the nonce of the tenth's and salts of their own:
/// seed and receipt of that one mustn't vouch for the others.
#[test]
fn tokens_of_one_nonce_and_other_salts_are_not_the_seeds() {
    let world = World::new();
    let mine = world.drawn(1, 0, 1);
    let signer = World::signer(EPOCH);
    let key = signer.public_key();
    let factor = BlindingFactor::from_bytes(key, &[7; 256]).unwrap();
    for salt in 2..=10 {
        let challenge = World::challenge(EPOCH);
        let nonce = *mine.token.nonce();
        let made = PendingToken::from_parts(key, &challenge, nonce, &[salt; 48], &factor).unwrap();
        let token = made.finalize(&blind_signature(signer, &made)).unwrap();
        assert!(token.spend_hash() != mine.token.spend_hash());
        let mut request = world.drawn(1, 0, 1);
        request.token = token;
        assert_eq!(world.assign(&request).refusal(), Some(Refusal::Seed));
    }
}

#[test]
fn an_order_is_the_dip_services_own_and_nothing_else() {
    let world = World::new();
    let request = world.drawn(1, 0, 1);
    let order = World::order(&request);
    let (sealed, _) = world.seal_assign(&request, &order);
    let Order { lease, ip, ref region, token, .. } = order;
    let extension = ExtensionOrder {
        lease,
        ip,
        region: region.clone(),
        request: RequestHash(*token.as_bytes()),
        frozen: false,
        notice: None,
    };
    let grant = Grant { lease, token, ends: lease::lease_end(NOW) };
    let good = order.sign(&world.orders, NOW).unwrap();
    for wrong in [
        order.sign(&role_key(9), NOW).unwrap(),
        order.sign(&world.accounts, NOW).unwrap(),
        order.sign(&minting_key(), NOW).unwrap(),
        order.sign(&world.orders, NOW.minus(lease::ORDER_LIFE + jws::CLOCK_SKEW)).unwrap(),
        extension.sign(&world.orders, NOW).unwrap(),
        grant.sign(&world.orders).unwrap(),
        request.srt.clone(),
        Compact::new(String::new()),
        Compact::new(format!("{}.", good.as_str())),
    ] {
        let outcome = world.mint.assign(wrong.as_str(), &sealed, NOW, &mut system_rng());
        assert_eq!(failure(outcome), Failure::Order);
        assert!(world.look().is_empty(), "something was opened for a bad order");
    }
    assert!(world.mint.assign(good.as_str(), &sealed, NOW, &mut system_rng()).is_ok());
    assert_eq!(world.look().len(), 2);
}

#[test]
fn a_sealed_request_is_bound_to_its_token_type_key_and_size() {
    let world = World::new();
    let request = world.drawn(1, 0, 1);
    let order = World::order(&request);
    let (sealed, _) = world.seal_assign(&request, &order);
    let ask = |mint: &Mint<_>, order: &Order, sealed: &[u8]| {
        let order = order.sign(&world.orders, NOW).unwrap();
        failure(mint.assign(order.as_str(), sealed, NOW, &mut system_rng()))
    };
    let other = World::order(&world.drawn(1, 0, 2));
    assert_eq!(ask(&world.mint, &other, &sealed), Failure::Unopenable);
    let longer = [&sealed[..], &[0]].concat();
    for wrong in [&[][..], &sealed[..31], &sealed[..64], &sealed[..sealed.len() - 1], &longer] {
        assert_eq!(ask(&world.mint, &order, wrong), Failure::Unopenable);
    }
    let plaintext = request.encode().unwrap();
    let bound = order.token.as_bytes();
    let (refresh, _) = world.seal(envelope::REFRESH, bound, &plaintext, envelope::ASSIGN_SIZE);
    assert_eq!(ask(&world.mint, &order, &refresh), Failure::Unopenable);
    let (larger, _) = world.seal(envelope::ASSIGN, bound, &plaintext, envelope::ASSIGN_SIZE + 1);
    assert_eq!(ask(&world.mint, &order, &larger), Failure::Unopenable);
    // After a restart the enclave has another key.
    assert_eq!(ask(&World::new().mint, &order, &sealed), Failure::OtherKey);
    assert!(world.look().is_empty());
}

#[test]
fn one_request_may_be_ordered_for_another_lease_only_by_the_dip_service() {
    // The request isn't bound to a lease, which its sender can't know yet: the order is what counts.
    let world = World::new();
    let request = world.drawn(1, 0, 1);
    let lease = LeaseId::from_bytes([0xbb; 16]);
    let order = Order { lease, ..World::order(&request) };
    assert_eq!(world.assign_at(&request, &order, NOW).minted().lease, lease);
}

/// A token may be presented again for its lease; not to get around a freeze.
#[test]
fn a_frozen_lease_gets_no_tokens_by_its_old_token_either() {
    let world = World::new();
    let request = world.drawn(1, 0, 1);
    let order = Order { frozen: true, ..World::order(&request) };
    assert_eq!(world.assign_at(&request, &order, NOW).frozen(), Notice::frozen());
}
