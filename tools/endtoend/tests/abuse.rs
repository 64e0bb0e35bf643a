//! People who try to get more than they paid for, and an operator who swaps the enclave.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;

use anyhow::{Context as _, Result};
use blind_rsa::{BlindingFactor, SALT_LENGTH};
use coarse::system_rng;
use dip_api::Assigned;
use endtoend::customer::{Bought, Customer, open, seal_assignment};
use endtoend::evidence::Stored;
use endtoend::program::User;
use endtoend::scene::{Scene, binaries, shared};
use endtoend::tunnel;
use endtoend::tunnel::{CONNECTED, REFUSED};
use epoch_keys::Purpose;
use gateway_api::Peer;
use issuer_api::ISSUANCE_RECEIPT;
use jws::Compact;
use lab::{Binaries, Town};
use minting::{Answer, AssignRequest, Refusal};
use peer_key::PeerSecret;
use privacy_pass::{PendingToken, TokenHeader, TokenResponse, TokenSeed};
use rand_core::Rng as _;
use wallet::{AnswerError, Drawn};

/// What an app seals: a token with everything that vouches for it.
fn content(srt: &Compact, drawn: &Drawn, device: &PeerSecret) -> Result<AssignRequest> {
    Ok(AssignRequest {
        srt: srt.clone(),
        receipt: drawn.receipt().clone(),
        seed: drawn.seed().clone(),
        token: drawn.token()?,
        key: drawn.key().clone(),
        device: device.public(),
    })
}

/// Presents a token with this content, and gives what the enclave says to it.
fn present(customer: &Customer, content: &AssignRequest) -> Result<Answer> {
    let hash = content.token.spend_hash();
    let (sealed, key) = seal_assignment(content, &hash, &customer.services.attest()?)?;
    let authorization = TokenHeader::build(&content.token);
    let region = endtoend::services::REGION;
    let answer = customer.services.assign(Some(&authorization), region, &sealed)?;
    open(&key, &answer.json::<Assigned>()?.sealed.0)
}

fn refused(answer: Answer) -> Result<Refusal> {
    match answer {
        Answer::Refused(refusal) => Ok(refusal),
        Answer::Granted(_) => anyhow::bail!("the enclave granted"),
    }
}

/// How many of these tokens bought a lease.
fn leased(town: &Town, all: &[Bought]) -> Result<u32> {
    let stored = Stored::by(town, "dip")?;
    let leases = "spent JOIN leases USING (lease) WHERE token_hash = ?1 AND state = 'leased'";
    all.iter().try_fold(0, |sum, bought| {
        Ok(sum + stored.count(leases, [bought.drawn.token()?.spend_hash().as_bytes()])?)
    })
}

#[test]
fn ten_tokens_of_ten_subscriptions_are_one_lease_for_one_of_them() -> Result<()> {
    let town = shared()?;
    let customers = (0..10).map(|_| Customer::new(town)).collect::<Result<Vec<_>>>()?;
    let bought = customers.iter().map(Customer::buy).collect::<Result<Vec<_>>>()?;
    let (one, first) = (&customers[0], &bought[0]);
    for (index, other) in bought.iter().enumerate() {
        // One subscription's SRT for everybody's token, with the receipt of whoever drew it.
        let shown = present(one, &content(&first.srt, &other.drawn, &one.device)?)?;
        if index == 0 {
            assert!(matches!(shown, Answer::Granted(_)));
            continue;
        }
        assert_eq!(refused(shown)?, Refusal::OtherSubscription);
        // The same with that one subscription's receipt; and with its seed, too.
        let mut forged = content(&first.srt, &other.drawn, &one.device)?;
        forged.receipt = first.drawn.receipt().clone();
        assert_eq!(refused(present(one, &forged)?)?, Refusal::Seed);
        forged.seed = first.drawn.seed().clone();
        assert_eq!(refused(present(one, &forged)?)?, Refusal::Seed);
    }
    assert_eq!(leased(town, &bought)?, 1);
    // Nine refusals cost nobody a token: each is still good for who drew it.
    customers[9].assign(&bought[9])?;
    assert_eq!(leased(town, &bought)?, 2);
    Ok(())
}

#[test]
fn tokens_made_with_one_seeds_nonce_are_not_that_seeds_token() -> Result<()> {
    // One seed vouches for one token, also when others are drawn that share its nonce.
    let town = shared()?;
    let (one, other) = (Customer::new(town)?, Customer::new(town)?);
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

    let mut forged = content(&first.srt, &first.drawn, &one.device)?;
    forged.token = twin.clone();
    assert_eq!(refused(present(&one, &forged)?)?, Refusal::Seed);
    // With its own receipt it is the other subscription's, and shows no seed.
    forged.receipt = Compact::new(answer.header(ISSUANCE_RECEIPT)?.to_owned());
    assert_eq!(refused(present(&one, &forged)?)?, Refusal::OtherSubscription);
    let stored = Stored::by(town, "dip")?;
    let leases = "spent JOIN leases USING (lease) WHERE token_hash = ?1 AND state = 'leased'";
    assert_eq!(stored.count(leases, [twin.spend_hash().as_bytes()])?, 0);
    Ok(())
}

#[test]
fn a_token_presented_many_times_at_once_is_one_lease() -> Result<()> {
    let town = shared()?;
    for times in [2, 8] {
        let customer = Customer::new(town)?;
        let bought = customer.buy()?;
        let all = thread::scope(|scope| {
            let racing: Vec<_> =
                (0..times).map(|_| scope.spawn(|| customer.assign(&bought))).collect();
            racing.into_iter().map(|one| one.join().unwrap()).collect::<Result<Vec<_>>>()
        })?;
        let leases: BTreeSet<_> = all.iter().map(|(minted, _)| (minted.lease, minted.ip)).collect();
        assert_eq!((all.len(), leases.len()), (times, 1));
        // And again, after all is done.
        let (minted, _) = customer.assign(&bought)?;
        assert!(leases.contains(&(minted.lease, minted.ip)));
        let stored = Stored::by(town, "dip")?;
        assert_eq!(stored.count("leases WHERE address = ?1", [minted.ip.bytes()])?, 1);
        assert_eq!(leased(town, &[bought])?, 1);
    }
    Ok(())
}

#[test]
fn a_refunded_subscription_gets_no_srt() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (old, leased) = customer.lease()?;
    operate(town, "refund", &customer)?;
    assert_eq!(customer.services.srt(&customer.account)?.refusal(), (403, "subscription-refunded"));
    // What it still has ends with its last SRT, three days at most.
    customer.refresh(&old, &leased)?;
    // The program says so, and keeps what it has.
    let user = User::logged_in(town)?;
    subscription(town, "refund", &user.subscription)?;
    let before = user.wallet();
    let refused = user.log_in()?;
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("refunded"), "{}", refused.err);
    assert_eq!(user.wallet(), before);
    Ok(())
}

#[test]
fn a_reset_ends_old_tokens_and_allows_a_new_one() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (old_srt, old) = customer.lease()?;
    operate(town, "reset", &customer)?;
    let srt = customer.srt()?;
    let refused = customer.refresh(&srt, &old).map(|_| ()).unwrap_err();
    assert_eq!(refused.downcast::<AnswerError>()?, AnswerError::Refused(Refusal::Reset));
    // A new token can be drawn, and buys another lease.
    let (_, new) = customer.lease()?;
    assert_ne!((new.minted.lease, new.minted.ip), (old.minted.lease, old.minted.ip));
    // From then on the blind token service takes no SRT of before the reset.
    let refused = customer.send(&old_srt, &customer.begin()?)?;
    assert_eq!(refused.refusal(), (409, "subscription-version-superseded"));
    // Nor does an SRT of before go with what was drawn after: get a new one, it says.
    let refused = customer.refresh(&old_srt, &new).map(|_| ()).unwrap_err();
    assert_eq!(refused.downcast::<AnswerError>()?, AnswerError::Refused(Refusal::Srt));
    customer.refresh(&srt, &new)?;
    Ok(())
}

#[test]
fn a_second_token_is_refused_and_the_first_can_be_had_again() -> Result<()> {
    let customer = Customer::new(shared()?)?;
    let (srt, drawing) = (customer.srt()?, customer.begin()?);
    let first = customer.send(&srt, &drawing)?;
    let second = customer.send(&srt, &customer.begin()?)?;
    assert_eq!(second.refusal(), (409, "draw-limit-reached"));
    // Also under another SRT of the same subscription.
    for srt in [srt, customer.srt()?] {
        let again = customer.send(&srt, &drawing)?;
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.header(ISSUANCE_RECEIPT)?, first.header(ISSUANCE_RECEIPT)?);
    }
    Ok(())
}

#[test]
fn a_stolen_dat_opens_nothing() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (_, leased) = customer.lease()?;
    let thief = PeerSecret::random(&mut system_rng());
    let services = &customer.services;
    let refused = services.add_peer(&leased.minted.dat, thief.public())?;
    assert_eq!(refused.refusal(), (403, "device-mismatch"));
    // A refresh token is no access token, whoever shows it.
    for device in [thief.public(), customer.device.public()] {
        let refused = services.add_peer(&leased.minted.drt, device)?;
        assert_eq!(refused.refusal(), (401, "dat-refused"));
    }
    let grants = "grants WHERE address = ?1";
    assert_eq!(Stored::by(town, "gateway")?.count(grants, [leased.minted.ip.bytes()])?, 0);
    Ok(())
}

#[test]
fn a_dat_that_is_shown_twice_changes_nothing() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (_, leased) = customer.lease()?;
    let (dat, device) = (&leased.minted.dat, customer.device.public());
    let first: Peer = customer.services.add_peer(dat, device)?.json()?;
    let tunnel = tunnel::open(&customer.device, &first)?;
    let web = town.web_address();
    assert_eq!(tunnel::seen(tunnel.proxy_addr(), web)?, leased.minted.ip.ip());
    let again: Peer = customer.services.add_peer(dat, device)?.json()?;
    assert_eq!(first, again);
    // The open tunnel goes on.
    assert_eq!(tunnel::seen(tunnel.proxy_addr(), web)?, leased.minted.ip.ip());
    let grants = "grants WHERE address = ?1";
    assert_eq!(Stored::by(town, "gateway")?.count(grants, [leased.minted.ip.bytes()])?, 1);
    Ok(())
}

#[test]
fn identity_services_are_out_of_the_tunnels_reach() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (_, leased) = customer.lease()?;
    let answer = customer.services.add_peer(&leased.minted.dat, customer.device.public())?;
    let tunnel = tunnel::open(&customer.device, &answer.json()?)?;
    let said = |to: SocketAddr| tunnel::connect(tunnel.proxy_addr(), to).map(|(_, code)| code);
    for service in ["accounts", "issuer"] {
        let url = town.url(service)?;
        let address = url.trim_start_matches("http://").parse()?;
        assert_eq!(said(address)?, REFUSED, "{service}");
    }
    assert_eq!(said(town.web_address())?, CONNECTED);
    Ok(())
}

#[test]
fn a_frozen_lease_gets_no_tokens_until_it_is_thawed() -> Result<()> {
    let scene = &mut Scene::open()?;
    let customer = Customer::new(scene)?;
    let bought = customer.buy()?;
    let (minted, assigned) = customer.assign(&bought)?;
    let ip = minted.ip.to_string();
    operate_lease(scene, "freeze", &ip)?;
    // Neither by the refresh token nor by showing the old token once more; only the holder is told.
    let again = customer.assign(&bought).map(|_| ()).unwrap_err();
    assert_eq!(again.downcast::<AnswerError>()?, AnswerError::Refused(Refusal::Frozen));
    let Bought { srt, drawn } = bought;
    let leased = drawn.lease(minted, assigned.gateway);
    let refused = customer.refresh(&srt, &leased).map(|_| ()).unwrap_err();
    assert_eq!(refused.downcast::<AnswerError>()?, AnswerError::Refused(Refusal::Frozen));
    operate_lease(scene, "thaw", &ip)?;
    assert_eq!(customer.refresh(&srt, &leased)?.ip.to_string(), ip);
    Ok(())
}

#[test]
fn an_enclave_with_one_byte_more_is_not_believed() -> Result<()> {
    // The programs as they are, but for an enclave that can be changed.
    let real = binaries()?;
    let room = tempfile::tempdir()?;
    let enclave = room.path().join("cloakroom-enclave");
    for program in real.released().into_iter().chain(real.tapped()) {
        let name = program.file_name().context("no name")?;
        if room.path().join(name) == enclave {
            std::fs::copy(&program, &enclave)?;
        } else {
            std::os::unix::fs::symlink(&program, room.path().join(name))?;
        }
    }
    let mut scene = Scene::with(&Binaries::in_directory(room.path())?, false)?;
    let (before, after) = (User::logged_in(&scene)?, User::logged_in(&scene)?);
    before.assign()?.json()?;

    for service in ["parent", "nsm"] {
        scene.kill(service)?;
    }
    let mut bytes = std::fs::read(&enclave)?;
    bytes.push(0);
    std::fs::write(&enclave, bytes)?;
    // It works as before, but for this: what was wrapped for the former one isn't unwrapped for it.
    std::fs::remove_file(scene.home("parent").join("state/keys/minting.ring"))?;
    for service in ["nsm", "parent"] {
        scene.restart(service)?;
    }
    let wallet = before.wallet();
    for (user, command) in [(&after, user_assign()), (&before, vec!["dip", "refresh"])] {
        let refused = user.run(&command)?;
        assert_eq!(refused.status, 1, "{}", refused.err);
        assert!(refused.err.contains("pcr"), "{}", refused.err);
        assert!(!refused.err.contains("give the same command again"), "{}", refused.err);
    }
    // The address that there is stays, and the token that was drawn waits for the pinned enclave.
    assert_eq!(before.wallet(), wallet);
    assert_eq!(after.run(&["dip", "status"])?.json()?["state"], "drawn");
    Ok(())
}

fn user_assign() -> Vec<&'static str> {
    vec!["dip", "assign", "--region", "demo", "--wait", "0"]
}

/// Support does something to a customer's subscription.
fn operate(town: &Town, what: &str, customer: &Customer) -> Result<()> {
    subscription(town, what, &customer.subscription.to_hex())
}

fn subscription(town: &Town, what: &str, id: &str) -> Result<()> {
    town.ask("accounts", &["subscription", what, id, "--url", &town.url("accounts")?])?;
    Ok(())
}

/// The operator does something to an address's lease; not while the service runs.
fn operate_lease(scene: &mut Scene, what: &str, ip: &str) -> Result<()> {
    scene.kill("dip")?;
    scene.ask("dip", &["lease", what, ip])?;
    scene.restart("dip")
}
