//! Role keys change over while customers go on: before, during and after; with a crash after every step, and every step said twice.

use anyhow::{Context as _, Result, bail, ensure};
use endtoend::customer::{Bought, Customer};
use endtoend::eventually;
use endtoend::keys::age_ring;
use endtoend::program::User;
use endtoend::scene::Scene;
use endtoend::services::{Services, ask};
use endtoend::tunnel;
use gateway_api::Peer;
use http::Method;
use jws::Compact;
use lab::Town;
use minting::Refusal;
use serde_json::Value;
use wallet::{AnswerError, Leased};

/// Longer than any key has to be published before it signs, in hours.
const NOTICE: u64 = 27;
/// Longer than an SRT, an access token or an order lives.
const DAYS: u64 = 4 * 24;
/// Longer than a refresh token lives, or a token may wait to be spent.
const MONTHS: u64 = 80 * 24;

/// A role's commands: whose program, and what comes before `prepare`, `activate` and `retire`.
#[derive(Clone, Copy)]
struct Role {
    service: &'static str,
    ring: &'static str,
    noun: &'static str,
}

const SRT: Role = Role { service: "accounts", ring: "srt", noun: "keys" };
const RECEIPT: Role = Role { service: "issuer", ring: "issuance-receipt", noun: "receipt-keys" };
const ORDER: Role = Role { service: "dip", ring: "order", noun: "order-keys" };
const MINTING: Role = Role { service: "parent", ring: "minting", noun: "keys" };
const WIREGUARD: Role = Role { service: "gateway", ring: "wireguard", noun: "keys" };
const MEASURED: [Role; 3] = [SRT, RECEIPT, ORDER];

impl Role {
    fn ask(self, town: &Town, words: &[&str]) -> Result<Value> {
        let socket = town.socket();
        let mut all = vec![self.noun];
        if self.service == "parent" {
            all.extend(["--enclave", socket.to_str().context("no text")?]);
        }
        all.extend(words);
        all.push("--json");
        Ok(serde_json::from_str(&town.ask(self.service, &all)?)?)
    }

    /// A step, said twice: the second time it changes nothing.
    fn step(self, town: &Town, words: &[&str]) -> Result<Value> {
        let changed = |said: &Value| said.get("changed").and_then(Value::as_bool);
        ensure!(changed(&self.ask(town, words)?) == Some(true), "{words:?} changed nothing");
        let again = self.ask(town, words)?;
        ensure!(changed(&again) == Some(false), "{words:?} again: {again}");
        Ok(again)
    }

    fn refused(self, town: &Town, words: &[&str]) -> Result<String> {
        match self.ask(town, words) {
            Ok(done) => bail!("{words:?} was done: {done}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    fn age(self, town: &Town, hours: u64) -> Result<()> {
        age_ring(town, self.service, self.ring, hours)
    }

    fn current(self, town: &Town) -> Result<String> {
        let all = self.ask(town, &["list"])?;
        let keys = all.get("keys").and_then(Value::as_array).context("no keys")?;
        let current = keys.iter().find(|key| text(key, "standing") == Some("current"));
        Ok(current.and_then(|key| text(key, "kid")).context("no current key")?.to_owned())
    }
}

/// Ends services as a crash would, and starts them again.
fn crash(scene: &mut Scene, services: &[&'static str]) -> Result<()> {
    services.iter().try_for_each(|service| scene.kill(service))?;
    services.iter().try_for_each(|service| scene.restart(service))
}

/// Waits until running services show, and so sign with, the current keys of their rings: they look at them once a second.
fn taken_up(scene: &Scene) -> Result<()> {
    let urls = Services::of(scene)?.provider.urls;
    let signers =
        [(SRT, urls.accounts), (RECEIPT, urls.blind_token_service), (ORDER, urls.dip_service)];
    for (role, url) in signers {
        let current = role.current(scene)?;
        eventually(|| {
            let set = ask(Method::GET, &url, "/.well-known/jwks.json", &[], vec![])?;
            let set: Value = set.json()?;
            let shown = set.get("keys").and_then(Value::as_array).context("no keys")?;
            let there = shown.iter().any(|key| text(key, "kid") == Some(&current));
            ensure!(there, "{}: {set}", role.service);
            Ok(())
        })?;
    }
    Ok(())
}

/// Which key signed a token.
fn kid(token: &Compact) -> Result<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let header = token.as_str().split('.').next().context("no header")?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    Ok(text(&header, "kid").context("no kid")?.to_owned())
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

/// A customer who draws, assigns, refreshes and is let in.
fn everything_works(town: &Town) -> Result<(Customer, Compact, Leased)> {
    let customer = Customer::new(town)?;
    let (srt, mut leased) = customer.lease()?;
    let minted = customer.refresh(&srt, &leased)?;
    let gateway = leased.gateway.clone();
    leased.renew(minted, gateway);
    let device = customer.device.public();
    customer.services.add_peer(&leased.minted.dat, device)?.json::<Peer>()?;
    Ok((customer, srt, leased))
}

/// With the services as they are asked now: the provider's file may be another one than before.
fn anew(customer: Customer, town: &Town) -> Result<Customer> {
    let services = Services::of(town)?;
    Ok(Customer { services, ..customer })
}

fn refused(outcome: Result<minting::Minted>) -> Result<Refusal> {
    let error = outcome.err().context("it was granted")?;
    match error.downcast_ref::<AnswerError>() {
        Some(AnswerError::Refused(refusal)) => Ok(*refusal),
        _ => Err(error),
    }
}

/// Has everybody believe an enclave with this boot configuration, beside those with the others; then starts that enclave.
fn change_over(scene: &mut Scene, serial: u64, boot: &str, others: &[&str]) -> Result<()> {
    let all: Vec<_> = [boot].into_iter().chain(others.iter().copied()).collect();
    scene.sign_provider(serial, &all)?;
    scene.boot_with(boot)?;
    if others.is_empty() {
        // Nobody may believe the enclave that runs.
        return crash(scene, &["nsm", "parent", "dip", "gateway"]);
    }
    crash(scene, &["dip", "gateway"])?;
    crash(scene, &["nsm", "parent"])
}

#[test]
fn the_keys_that_the_enclave_believes_change_over_while_customers_go_on() -> Result<()> {
    let scene = &mut Scene::open()?;
    let old_boot = scene.boot_configuration()?;
    let user = User::logged_in(scene)?;
    let leased = user.assign()?.json()?;
    let (customer, old_srt, old_lease) = everything_works(scene)?;
    // A token that is drawn now and spent when the keys are others.
    let saver = Customer::new(scene)?;
    let saved = saver.buy()?;
    let before: Vec<String> =
        MEASURED.iter().map(|role| role.current(scene)).collect::<Result<_>>()?;

    for role in MEASURED {
        role.step(scene, &["prepare"])?;
        let early = role.refused(scene, &["activate"])?;
        assert!(early.contains("may be activated from"), "{early}");
    }
    scene.give_srt_keys()?;
    let both = scene.boot_configuration()?;
    change_over(scene, 2, &both, &[&old_boot])?;
    // A program whose file is the old one finds the new one by itself.
    assert_eq!(user.run(&["dip", "refresh"])?.json()?["dedicated_ip"], leased["dedicated_ip"]);
    assert_eq!(user.run(&["trust", "show"])?.json()?["provider"]["update"]["serial"], 2);

    for role in MEASURED {
        role.age(scene, NOTICE)?;
        role.step(scene, &["activate"])?;
    }
    crash(scene, &["accounts", "issuer", "dip", "gateway"])?;
    let (customer, saver) = (anew(customer, scene)?, anew(saver, scene)?);
    for (role, before) in MEASURED.iter().zip(&before) {
        assert_ne!(role.current(scene)?, *before);
    }
    let (newcomer, new_srt, new_lease) = everything_works(scene)?;
    assert_eq!(kid(&new_srt)?, SRT.current(scene)?);
    assert_ne!(kid(&old_srt)?, kid(&new_srt)?);
    // What the old keys signed is good: receipts of a subscription, receipts of issuance.
    customer.refresh(&old_srt, &old_lease)?;
    let drawing = customer.begin()?;
    assert_eq!(
        customer.send(&old_srt, &drawing)?.refusal().0,
        409,
        "it has drawn, and its SRT is good"
    );
    assert_eq!(kid(saved.drawn.receipt())?, before[1]);
    saver.assign(&saved)?;
    assert_eq!(user.run(&["dip", "refresh"])?.json()?["dedicated_ip"], leased["dedicated_ip"]);

    for (role, time) in MEASURED.iter().zip([DAYS, MONTHS, DAYS]) {
        if role.service != "dip" {
            let early = role.refused(scene, &["retire"])?;
            assert!(early.contains("may be retired from"), "{early}");
        }
        role.age(scene, time)?;
        role.step(scene, &["retire"])?;
    }
    scene.give_srt_keys()?;
    let new_boot = scene.boot_configuration()?;
    change_over(scene, 3, &new_boot, &[&both])?;
    let (customer, newcomer) = (anew(customer, scene)?, anew(newcomer, scene)?);
    everything_works(scene)?;
    newcomer.refresh(&new_srt, &new_lease)?;
    assert_eq!(refused(customer.refresh(&old_srt, &old_lease))?, Refusal::Srt);
    eventually(|| {
        let answer = customer.send(&old_srt, &drawing)?;
        ensure!(answer.refusal() == (401, "srt-refused"), "{:?}", answer.refusal());
        Ok(())
    })?;
    // The customer of the program notices nothing: it fetches what it needs.
    assert_eq!(user.run(&["dip", "refresh"])?.json()?["dedicated_ip"], leased["dedicated_ip"]);
    // What operators did is in the trail of each service, in an unbroken chain.
    for (role, noun) in MEASURED.iter().zip(["keys", "keys", "keys"]) {
        let listed: Value =
            serde_json::from_str(&scene.ask(role.service, &["trail", "list", "--json"])?)?;
        let lines = listed["lines"].as_array().context("no lines")?;
        for verb in ["prepare", "activate", "retire"] {
            let action = format!("{noun}-{verb}");
            let done =
                |line: &&Value| line["action"] == action.as_str() && line["outcome"] == "done";
            assert_eq!(lines.iter().filter(done).count(), 1, "{} {action}", role.service);
        }
    }
    Ok(())
}

#[test]
fn stolen_keys_are_refused_at_once() -> Result<()> {
    let scene = &mut Scene::open()?;
    let user = User::logged_in(scene)?;
    let leased = user.assign()?.json()?;
    let waiting = User::logged_in(scene)?;
    let (customer, old_srt, old_lease) = everything_works(scene)?;
    let saver = Customer::new(scene)?;
    let saved: Bought = saver.buy()?;
    for role in MEASURED {
        let alone = role.refused(scene, &["activate", "--compromised"])?;
        assert!(alone.contains("prepare one first"), "{alone}");
        role.step(scene, &["prepare"])?;
        assert_eq!(role.ask(scene, &["activate", "--compromised"])?["changed"], true);
    }
    scene.give_srt_keys()?;
    let boot = scene.boot_configuration()?;
    change_over(scene, 2, &boot, &[])?;
    taken_up(scene)?;
    let (customer, saver) = (anew(customer, scene)?, anew(saver, scene)?);
    assert_eq!(refused(customer.refresh(&old_srt, &old_lease))?, Refusal::Srt);
    let saved = Bought { srt: saver.srt()?, drawn: saved.drawn };
    assert_eq!(refused(saver.assign(&saved).map(|(minted, _)| minted))?, Refusal::Receipt);
    // The same draw sent again gets its receipt anew, so that the token isn't lost.
    let again =
        saver.finish(&saved.drawn.drawing(), &saver.send(&saved.srt, &saved.drawn.drawing())?)?;
    saver.assign(&Bought { srt: saved.srt, drawn: again })?;
    everything_works(scene)?;
    // The program does all of this by itself, whether it has a lease or holds an SRT alone.
    assert_eq!(user.run(&["dip", "refresh"])?.json()?["dedicated_ip"], leased["dedicated_ip"]);
    waiting.assign()?.json()?;
    Ok(())
}

#[test]
fn the_minting_key_changes_over_inside_the_enclave() -> Result<()> {
    let scene = &mut Scene::open()?;
    let user = User::logged_in(scene)?;
    let leased = user.assign()?.json()?;
    let (customer, srt, old) = everything_works(scene)?;
    let device = customer.device.public();
    let first = MINTING.current(scene)?;
    assert_eq!(kid(&old.minted.dat)?, first);

    MINTING.step(scene, &["prepare"])?;
    crash(scene, &["nsm", "parent"])?;
    assert_eq!(kid(&customer.refresh(&srt, &old)?.dat)?, first, "nothing mints with it yet");
    MINTING.step(scene, &["activate"])?;
    crash(scene, &["nsm", "parent"])?;
    let second = MINTING.current(scene)?;
    assert_ne!(first, second);
    let (_, new_srt, new) = everything_works(scene)?;
    assert_eq!(kid(&new.minted.dat)?, second);
    // The gateway has just seen a new key, and takes tokens of both: also one that has to learn them anew.
    customer.services.add_peer(&old.minted.dat, device)?.json::<Peer>()?;
    crash(scene, &["gateway", "dip"])?;
    customer.services.add_peer(&old.minted.dat, device)?.json::<Peer>()?;
    let refreshed = customer.refresh(&srt, &old)?;
    assert_eq!((kid(&refreshed.drt)?, refreshed.ip), (second, old.minted.ip));
    assert_eq!(user.run(&["dip", "refresh"])?.json()?["dedicated_ip"], leased["dedicated_ip"]);

    let early = MINTING.refused(scene, &["retire"])?;
    assert!(early.contains("may be retired from"), "{early}");
    MINTING.age(scene, MONTHS)?;
    MINTING.step(scene, &["retire"])?;
    crash(scene, &["nsm", "parent", "gateway", "dip"])?;
    assert_eq!(refused(customer.refresh(&srt, &old))?, Refusal::Drt);
    let refusal = customer.services.add_peer(&old.minted.dat, device)?;
    assert_eq!(refusal.refusal(), (401, "dat-refused"));
    let mut renewed = old;
    let gateway = renewed.gateway.clone();
    renewed.renew(refreshed, gateway);
    customer.refresh(&srt, &renewed)?;
    everything_works(scene)?;
    ensure!(!new_srt.as_str().is_empty() && !new.minted.drt.as_str().is_empty());
    Ok(())
}

#[test]
fn the_gateways_key_changes_over_while_tunnels_go_on() -> Result<()> {
    let scene = &mut Scene::open()?;
    let (customer, srt, mut leased) = everything_works(scene)?;
    let (device, web) = (customer.device.public(), scene.web_address());
    let told = |leased: &Leased| -> Result<Peer> {
        customer.services.add_peer(&leased.minted.dat, device)?.json()
    };
    let open = |peer: &Peer| -> Result<()> {
        let tunnel = tunnel::open(&customer.device, peer)?;
        ensure!(tunnel::seen(tunnel.proxy_addr(), web)? == peer.exit_address.ip());
        tunnel.shutdown();
        Ok(())
    };
    let old = told(&leased)?;
    let staying = tunnel::open(&customer.device, &old)?;
    assert_eq!(tunnel::seen(staying.proxy_addr(), web)?, old.exit_address.ip());

    WIREGUARD.step(scene, &["prepare"])?;
    WIREGUARD.step(scene, &["activate"])?;
    assert_eq!(told(&leased)?.tunnel, old.tunnel, "it counts from the next start on");
    crash(scene, &["gateway"])?;
    // The former key is served where it was, for tunnels that are up and for files that were exported.
    assert_eq!(eventually(|| tunnel::seen(staying.proxy_addr(), web))?, old.exit_address.ip());
    staying.shutdown();
    open(&old)?;
    let new = told(&leased)?;
    assert_eq!((new.tunnel.endpoint, new.exit_address), (old.tunnel.endpoint, old.exit_address));
    assert_ne!(new.tunnel.public_key, old.tunnel.public_key);
    open(&new)?;

    let early = WIREGUARD.refused(scene, &["retire"])?;
    assert!(early.contains("may be retired from"), "{early}");
    WIREGUARD.age(scene, DAYS)?;
    WIREGUARD.step(scene, &["retire"])?;
    crash(scene, &["gateway"])?;
    leased.renew(customer.refresh(&srt, &leased)?, leased.gateway.clone());
    open(&told(&leased)?)?;
    assert!(tunnel::open(&customer.device, &old).is_err(), "nobody answers for a retired key");

    // A stolen key: the next start is with another, alone.
    WIREGUARD.step(scene, &["prepare"])?;
    assert_eq!(WIREGUARD.ask(scene, &["activate", "--compromised"])?["changed"], true);
    crash(scene, &["gateway"])?;
    assert!(tunnel::open(&customer.device, &new).is_err(), "nobody answers for a stolen key");
    open(&told(&leased)?)
}

#[test]
fn a_stolen_minting_key_is_not_taken_back_even_if_the_parent_gives_it() -> Result<()> {
    let scene = &mut Scene::open()?;
    let (customer, srt, old) = everything_works(scene)?;
    let stolen = MINTING.current(scene)?;
    let ring = scene.home("parent").join("state/keys/minting.ring");
    let with_stolen = std::fs::read(&ring)?;
    MINTING.step(scene, &["prepare"])?;
    assert_eq!(MINTING.ask(scene, &["activate", "--compromised"])?["changed"], true);
    let mut boot: Value = serde_json::from_str(&scene.boot_configuration()?)?;
    boot["refused_minting_keys"] = vec![stolen].into();
    change_over(scene, 2, &boot.to_string(), &[])?;
    let customer = anew(customer, scene)?;
    assert_eq!(refused(customer.refresh(&srt, &old))?, Refusal::Drt);
    let refusal = customer.services.add_peer(&old.minted.dat, customer.device.public())?;
    assert_eq!(refusal.refusal(), (401, "dat-refused"));
    everything_works(scene)?;
    // A parent that puts the stolen key back gets no enclave that mints with it.
    std::fs::write(&ring, with_stolen)?;
    scene.kill("nsm")?;
    scene.kill("parent")?;
    scene.restart("nsm")?;
    assert!(scene.restart("parent").is_err());
    Ok(())
}

#[test]
fn an_older_file_of_the_providers_is_refused_and_a_newer_one_fetched() -> Result<()> {
    let scene = &mut Scene::open()?;
    let user = User::logged_in(scene)?;
    let boot = scene.boot_configuration()?;
    let file = scene.provider();
    let first = std::fs::read(&file)?;
    assert_eq!(user.run(&["trust", "update"])?.json()?["provider"]["update"]["serial"], 1);
    scene.sign_provider(2, &[&boot])?;
    crash(scene, &["dip"])?;
    assert_eq!(user.run(&["trust", "update"])?.json()?["provider"]["update"]["serial"], 2);
    // By hand, and from where newer ones are to be had.
    std::fs::write(&file, first)?;
    let older = user.trust()?;
    assert_eq!(older.status, 1);
    assert!(older.err.contains("older than the one that you trust"), "{}", older.err);
    crash(scene, &["dip"])?;
    assert_eq!(user.run(&["trust", "update"])?.status, 1);
    assert_eq!(user.run(&["trust", "show"])?.json()?["provider"]["update"]["serial"], 2);
    Ok(())
}

#[test]
fn operators_acts_are_in_the_trail_and_tampering_is_found() -> Result<()> {
    let scene = &mut Scene::open()?;
    let (customer, _, leased) = everything_works(scene)?;
    let address = leased.minted.ip.to_string();
    let url = scene.url("accounts")?;
    let id = customer.subscription.to_hex();
    let reset = ["--operator", "ada", "subscription", "reset", &id, "--url", &url];
    scene.ask("accounts", &reset)?;
    let told = ["--reference", "case-7", "--text", "Too much mail came from this address."];
    let freeze = ["--operator", "grace", "lease", "freeze", &address];
    scene.operate_dip(&[&freeze[..], &told].concat())?;
    scene.operate_dip(&["--operator", "grace", "lease", "thaw", &address])?;
    let lines = |service: &str| -> Result<Vec<Value>> {
        let listed: Value =
            serde_json::from_str(&scene.ask(service, &["trail", "list", "--json"])?)?;
        Ok(listed["lines"].as_array().context("no lines")?.clone())
    };
    let last = |lines: &[Value]| {
        lines.last().map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            [text("operator"), text("action"), text("subject"), text("outcome")]
        })
    };
    let (accounts, dip) = (lines("accounts")?, lines("dip")?);
    let expected = |all: [&str; 4]| Some(all.map(str::to_owned));
    assert_eq!(last(&accounts), expected(["ada", "subscription-reset", &id, "done"]));
    assert_eq!(last(&dip), expected(["grace", "lease-thaw", &address, "done"]));
    // No account's number or subscription is in a line of its making, and nothing that a client did is in any.
    let made =
        accounts.iter().find(|line| line["action"] == "account-create").context("no account")?;
    assert_eq!(made["subject"], "vpn.dip vpn.access");
    let known = [
        "account-create",
        "subscription-reset",
        "token-keys-import",
        "gateway-set",
        "pool-import",
        "lease-freeze",
        "lease-thaw",
    ];
    for line in accounts.iter().chain(&dip) {
        assert!(known.iter().any(|action| line["action"] == *action), "{line}");
    }
    let verify = |head: Option<&str>| {
        let mut words = vec!["trail", "verify", "--json"];
        words.extend(head.iter().flat_map(|head| ["--head", head]));
        scene.ask("dip", &words)
    };
    let head: Value = serde_json::from_str(&verify(None)?)?;
    let head = head["head"].as_str().context("no head")?.to_owned();
    verify(Some(&head))?;
    let path = scene.home("dip").join("state/trail.jsonl");
    let whole = std::fs::read_to_string(&path)?;
    let cut = whole.trim_end().rsplit_once('\n').context("one line")?.0.to_owned() + "\n";
    std::fs::write(&path, &cut)?;
    assert!(verify(None).is_ok() && verify(Some(&head)).is_err(), "lines cut off at the end");
    std::fs::write(&path, whole.replace("grace", "linus"))?;
    assert!(verify(None).is_err(), "an edited line");
    Ok(())
}
