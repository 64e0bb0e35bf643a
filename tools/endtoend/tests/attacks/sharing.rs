//! Several people with one subscription, one person with several tokens, and one token at several doors at once.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use anyhow::{Context as _, Result, bail};
use blind_rsa::{BlindingFactor, SALT_LENGTH};
use coarse::system_rng;
use dip_api::Assigned;
use endtoend::customer::{Bought, Customer, open, seal_assignment};
use endtoend::evidence::Stored;
use endtoend::rows::Rows;
use endtoend::services::REGION;
use epoch_keys::Purpose;
use issuer_api::ISSUANCE_RECEIPT;
use jws::Compact;
use lab::Town;
use minting::{Answer, AssignRequest, Refusal};
use peer_key::PeerSecret;
use privacy_pass::{PendingToken, TokenHeader, TokenResponse, TokenSeed};
use rand_core::Rng as _;

use crate::TOWN;

/// Presents a token with this content, and gives what the enclave says to it.
pub(crate) fn present(customer: &Customer, content: &AssignRequest) -> Result<Answer> {
    let hash = content.token.spend_hash();
    let enclave = customer.services.attest()?;
    let (sealed, key) = seal_assignment(content, &customer.device, &hash, &enclave)?;
    let authorization = TokenHeader::build(&content.token);
    let answer = customer.services.assign(Some(&authorization), REGION, &sealed)?;
    open(&key, &answer.json::<Assigned>()?.sealed.0)
}

/// Why the enclave refused.
pub(crate) fn refused(answer: Answer) -> Result<Refusal> {
    match answer {
        Answer::Refused(refusal) => Ok(refusal),
        Answer::Granted(_) => bail!("the enclave granted"),
        Answer::Frozen(_) | Answer::GivenBack => bail!("neither"),
    }
}

/// How many of these tokens bought a lease.
fn leased(town: &Town, all: &[Bought]) -> Result<u32> {
    let stored = Stored::by(town, "dip")?;
    let leases = "assignments JOIN leases USING (lease) WHERE token_hash = ?1 AND state = 'leased'";
    all.iter().try_fold(0, |sum, bought| {
        Ok(sum + stored.count(leases, [bought.drawn.token()?.spend_hash().as_bytes()])?)
    })
}

#[test]
fn ten_tokens_of_ten_subscriptions_are_one_lease_for_one_of_them() -> Result<()> {
    let town = TOWN.lock()?;
    let customers = (0..10).map(|_| Customer::new(&town)).collect::<Result<Vec<_>>>()?;
    let bought = customers.iter().map(Customer::buy).collect::<Result<Vec<_>>>()?;
    let (one, first) = (&customers[0], &bought[0]);
    assert!(matches!(present(one, &one.content(first)?)?, Answer::Granted(_)));
    for other in &bought[1..] {
        let before = Rows::of(&town)?;
        let hash = other.drawn.token()?.spend_hash();
        // One subscription's SRT for everybody's token, with the receipt of whoever drew it.
        let mut shared = one.content(&Bought { srt: first.srt.clone(), drawn: copy(other)? })?;
        assert_eq!(refused(present(one, &shared)?)?, Refusal::OtherSubscription);
        before.only_reserved(&town, &hash)?;
        // The same with that one subscription's receipt; and with its seed, too.
        shared.receipt = first.drawn.receipt().clone();
        assert_eq!(refused(present(one, &shared)?)?, Refusal::Seed);
        shared.seed = first.drawn.seed().clone();
        assert_eq!(refused(present(one, &shared)?)?, Refusal::Seed);
        before.only_reserved(&town, &hash)?;
    }
    assert_eq!(leased(&town, &bought)?, 1);
    // Nine refusals cost nobody a token: each is still good for who drew it.
    customers[9].assign(&bought[9])?;
    assert_eq!(leased(&town, &bought)?, 2);
    Ok(())
}

/// The same token once more, as a wallet's copy holds it.
fn copy(bought: &Bought) -> Result<wallet::Drawn> {
    Ok(serde_json::from_value(serde_json::to_value(&bought.drawn)?)?)
}

#[test]
fn tokens_made_with_one_seeds_nonce_are_not_that_seeds_token() -> Result<()> {
    // One seed vouches for one token, also when others are drawn that share its nonce.
    let town = TOWN.lock()?;
    let (one, other) = (Customer::new(&town)?, Customer::new(&town)?);
    let first = one.buy()?;
    let provider = &one.services.provider;
    let key = first.drawn.key().verify(provider.tree(Purpose::DedicatedIp).context("no tree")?)?;
    let challenge = key.challenge(&provider.issuer_name, &provider.origin)?.digest();
    let seed = TokenSeed::from_bytes(*first.drawn.seed().expose());
    let nonce = *PendingToken::new(key.public_key(), &challenge, &seed)?.nonce();
    let mut salt = [0; SALT_LENGTH];
    system_rng().fill_bytes(&mut salt);
    let factor = BlindingFactor::sample(key.public_key(), |bytes| system_rng().fill_bytes(bytes))?;
    let pending = PendingToken::from_parts(key.public_key(), &challenge, nonce, &salt, &factor)?;
    let answer = other.services.blind_sign(other.srt()?.as_str(), pending.request())?;
    let twin = pending.finalize(&TokenResponse::decode(&answer.body)?)?;
    assert_ne!(twin.spend_hash(), first.drawn.token()?.spend_hash());

    let before = Rows::of(&town)?;
    let mut forged = one.content(&first)?;
    forged.token = twin.clone();
    assert_eq!(refused(present(&one, &forged)?)?, Refusal::Seed);
    // With its own receipt it is the other subscription's, and shows no seed.
    forged.receipt = Compact::new(answer.header(ISSUANCE_RECEIPT)?.to_owned());
    assert_eq!(refused(present(&one, &forged)?)?, Refusal::OtherSubscription);
    before.only_reserved(&town, &twin.spend_hash())
}

#[test]
fn a_token_presented_many_times_at_once_is_one_lease() -> Result<()> {
    let town = TOWN.lock()?;
    for times in [2, 8, 24] {
        let customer = Customer::new(&town)?;
        let bought = customer.buy()?;
        let start = Barrier::new(times);
        let all = thread::scope(|scope| {
            let race = || {
                start.wait();
                customer.assign(&bought)
            };
            let racing: Vec<_> = (0..times).map(|_| scope.spawn(race)).collect();
            racing.into_iter().map(|one| one.join().unwrap()).collect::<Result<Vec<_>>>()
        })?;
        let leases: BTreeSet<_> = all.iter().map(|(minted, _)| (minted.lease, minted.ip)).collect();
        assert_eq!((all.len(), leases.len()), (times, 1));
        // And again, after all is done.
        let after = Rows::of(&town)?;
        let (minted, _) = customer.assign(&bought)?;
        assert!(leases.contains(&(minted.lease, minted.ip)));
        after.unchanged(&town)?;
        let stored = Stored::by(&town, "dip")?;
        assert_eq!(stored.count("leases WHERE ip = ?1", [minted.ip.bytes()])?, 1);
        assert_eq!(leased(&town, &[bought])?, 1);
    }
    Ok(())
}

#[test]
fn tokens_of_many_that_race_for_the_pool_get_an_address_each() -> Result<()> {
    let town = TOWN.lock()?;
    let customers = (0..8).map(|_| Customer::new(&town)).collect::<Result<Vec<_>>>()?;
    let bought = customers.iter().map(Customer::buy).collect::<Result<Vec<_>>>()?;
    let start = Barrier::new(customers.len());
    let race = |(customer, bought): (&Customer, _)| {
        start.wait();
        customer.assign(bought)
    };
    let race = &race;
    let all = thread::scope(|scope| {
        let racing: Vec<_> =
            customers.iter().zip(&bought).map(|pair| scope.spawn(move || race(pair))).collect();
        racing.into_iter().map(|one| one.join().unwrap()).collect::<Result<Vec<_>>>()
    })?;
    let addresses: BTreeSet<_> = all.iter().map(|(minted, _)| minted.ip).collect();
    let leases: BTreeSet<_> = all.iter().map(|(minted, _)| minted.lease).collect();
    assert_eq!((addresses.len(), leases.len()), (8, 8));
    Ok(())
}

#[test]
fn a_subscription_that_draws_many_times_at_once_gets_one_token() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let srt = customer.srt()?;
    let drawings = (0..8).map(|_| customer.begin()).collect::<Result<Vec<_>>>()?;
    let start = Barrier::new(drawings.len());
    let race = |drawing| {
        start.wait();
        customer.send(&srt, drawing)
    };
    let race = &race;
    let answers = thread::scope(|scope| {
        let racing: Vec<_> =
            drawings.iter().map(|drawing| scope.spawn(move || race(drawing))).collect();
        racing.into_iter().map(|one| one.join().unwrap()).collect::<Result<Vec<_>>>()
    })?;
    let signed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(signed, 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.refusal(), (409, "draw-limit-reached"));
    }
    let answers = "answers WHERE subscription = ?1";
    assert_eq!(Stored::by(&town, "issuer")?.count(answers, [customer.subscription.bytes()])?, 1);
    Ok(())
}

#[test]
fn a_second_token_is_refused_and_the_first_can_be_had_again() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let (srt, drawing) = (customer.srt()?, customer.begin()?);
    let first = customer.send(&srt, &drawing)?;
    let before = Rows::of(&town)?;
    // Also under another SRT of the same subscription.
    for srt in [srt, customer.srt()?] {
        let second = customer.send(&srt, &customer.begin()?)?;
        assert_eq!(second.refusal(), (409, "draw-limit-reached"));
        let again = customer.send(&srt, &drawing)?;
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.header(ISSUANCE_RECEIPT)?, first.header(ISSUANCE_RECEIPT)?);
    }
    before.unchanged(&town)
}

#[test]
fn a_token_with_another_device_in_it_is_the_same_lease() -> Result<()> {
    // Who has wallet and account has the lease; a second device of theirs takes no second address.
    let town = TOWN.lock()?;
    let mut customer = Customer::new(&town)?;
    let bought = customer.buy()?;
    let (first, _) = customer.assign(&bought)?;
    let after = Rows::of(&town)?;
    customer.device = PeerSecret::random(&mut system_rng());
    let (second, _) = customer.assign(&bought)?;
    assert_eq!((second.lease, second.ip), (first.lease, first.ip));
    after.unchanged(&town)
}
