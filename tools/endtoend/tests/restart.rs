//! Crashes: whatever dies between two steps, a person ends up with one and the same address.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use dip_api::Assigned;
use endtoend::customer::Customer;
use endtoend::evidence::{Received, Stored};
use endtoend::program::User;
use endtoend::scene::{Scene, binaries};
use endtoend::services::now;
use endtoend::{eventually, tunnel};
use gateway_api::Peer;
use lab::Town;
use serde_json::Value;

/// The order in which services are started again.
const SERVICES: [&str; 7] = ["nsm", "parent", "accounts", "issuer", "dip", "gateway", "backup"];

/// Ends every service as a crash would, and starts them all again.
fn crash(scene: &mut Scene) -> Result<()> {
    for service in SERVICES {
        scene.kill(service)?;
    }
    SERVICES.into_iter().try_for_each(|service| scene.restart(service))
}

/// That exactly so many leases and spent tokens are stored, and nothing is reserved.
fn assert_leases(town: &Town, count: u32) -> Result<()> {
    let stored = Stored::by(town, "dip")?;
    assert_eq!(stored.count("leases WHERE state = 'leased'", [])?, count);
    assert_eq!(stored.count("leases", [])?, count);
    assert_eq!(stored.count("assignments", [])?, count);
    assert_eq!(stored.count("ip_pool WHERE status <> 'available'", [])?, count);
    Ok(())
}

#[test]
fn every_service_may_crash_between_any_two_steps() -> Result<()> {
    let scene = &mut Scene::open()?;
    let customer = Customer::new(scene)?;
    crash(scene)?;
    let srt = customer.srt()?;
    crash(scene)?;
    let drawing = customer.begin()?;
    crash(scene)?;
    // As if the answer had been lost: the same request gets the same one after the crash.
    let lost = customer.send(&srt, &drawing)?;
    crash(scene)?;
    let answer = customer.send(&srt, &drawing)?;
    assert_eq!((lost.status, &lost.body), (200, &answer.body));
    let drawn = customer.finish(&drawing, &answer)?;
    let bought = endtoend::customer::Bought { srt, drawn };
    crash(scene)?;
    // What was sealed before the crash is for a key that is gone; nothing is lost by that.
    let (sealed, _) = customer.seal(&bought, &customer.services.attest()?)?;
    crash(scene)?;
    let refused = customer.present(&bought.drawn, &sealed.request)?;
    assert_eq!(refused.refusal(), (409, "enclave-key-changed"));
    crash(scene)?;
    // As if this answer had been lost, too.
    let enclave = customer.services.attest()?;
    let (sealed, _) = customer.seal(&bought, &enclave)?;
    let lost: Assigned = customer.present(&bought.drawn, &sealed.request)?.json()?;
    let device = customer.device.public();
    let first = sealed.open(&lost.sealed.0, lost.lease, &device, &enclave, now())?;
    crash(scene)?;
    let (minted, assigned) = customer.assign(&bought)?;
    assert_eq!((minted.lease, minted.ip), (first.lease, first.ip));
    crash(scene)?;
    // The gateway takes tokens of before its crash and the enclave's, and remembers whom it let in.
    let peer: Peer = customer.services.add_peer(&first.dat, device)?.json()?;
    crash(scene)?;
    let tunnel = tunnel::open(&customer.device, &peer)?;
    assert_eq!(tunnel::seen(tunnel.proxy_addr(), scene.web_address())?, minted.ip.ip());
    tunnel.shutdown();
    let mut leased = bought.drawn.lease(minted, assigned.gateway.clone());
    let refreshed = customer.refresh(&bought.srt, &leased)?;
    assert_eq!(refreshed.ip, first.ip);
    crash(scene)?;
    // The refresh token of before and the one of after both go on.
    assert_eq!(customer.refresh(&bought.srt, &leased)?.ip, first.ip);
    leased.renew(refreshed, assigned.gateway);
    assert_eq!(customer.refresh(&bought.srt, &leased)?.ip, first.ip);
    assert_leases(scene, 1)
}

#[test]
fn a_person_goes_on_after_each_crash() -> Result<()> {
    let scene = &mut Scene::open()?;
    let user = User::new(scene)?;
    user.trust()?.json()?;
    crash(scene)?;
    user.log_in()?.json()?;
    crash(scene)?;
    let leased = user.assign()?.json()?;
    let ip = leased["dedicated_ip"].as_str().context("no address")?.to_owned();
    crash(scene)?;
    assert_eq!(user.assign()?.json()?, leased);
    let connected = user.run(&["connect", "--proxy", "127.0.0.1:0"])?.json()?;
    assert_eq!(connected["exit_address"], ip.as_str());
    let proxy = connected["proxy"].as_str().context("no proxy")?.parse()?;
    let web = scene.web_address();
    assert_eq!(tunnel::seen(proxy, web)?.to_string(), ip);
    // Login and refresh go past the tunnel, whose gateway died and is back.
    crash(scene)?;
    user.log_in()?.json()?;
    assert_eq!(user.run(&["dip", "refresh"])?.json()?["dedicated_ip"], ip.as_str());
    assert_eq!(user.run(&["status"])?.json()?["connected"], true);
    crash(scene)?;
    user.run(&["disconnect"])?.json()?;
    assert_eq!(user.run(&["status"])?.json()?["connected"], false);
    let connected = user.run(&["connect", "--proxy", "127.0.0.1:0"])?.json()?;
    let proxy = connected["proxy"].as_str().context("no proxy")?.parse()?;
    assert_eq!(tunnel::seen(proxy, web)?.to_string(), ip);
    user.run(&["disconnect"])?.json()?;
    assert_leases(scene, 1)
}

/// A tapped service that is started again records on, and what it had recorded before its crash counts as well.
#[test]
fn a_tap_outlives_a_crash() -> Result<()> {
    let scene = &mut Scene::with(&binaries()?, true)?;
    let before = User::logged_in(scene)?;
    let first = before.assign()?.json()?;
    crash(scene)?;
    let after = User::logged_in(scene)?;
    let second = after.assign()?.json()?;
    for service in SERVICES {
        assert_eq!(lab::recordings(&scene.home(service))?.len(), 2, "{service}");
    }
    let accounts = Received::by(scene, "accounts")?;
    assert!(accounts.holds(before.account.as_bytes()) && accounts.holds(after.account.as_bytes()));
    let enclave = Received::by_enclave(scene)?;
    for leased in [first, second] {
        let lease = hex::decode(leased["lease"].as_str().context("no lease")?)?;
        assert!(enclave.holds(&lease));
    }
    Ok(())
}

#[test]
fn an_open_tunnel_comes_back_by_itself() -> Result<()> {
    let scene = &mut Scene::open()?;
    let user = User::logged_in(scene)?;
    let leased = user.assign()?.json()?;
    let connected = user.run(&["connect", "--proxy", "127.0.0.1:0"])?.json()?;
    let proxy = connected["proxy"].as_str().context("no proxy")?.parse()?;
    let ip = leased["dedicated_ip"].as_str().context("no address")?;
    let web = scene.web_address();
    assert_eq!(tunnel::seen(proxy, web)?.to_string(), ip);
    scene.kill("gateway")?;
    scene.restart("gateway")?;
    // WireGuard takes 15 s to find out that the other side has forgotten the session.
    assert_eq!(eventually(|| tunnel::seen(proxy, web))?.to_string(), ip);
    user.run(&["disconnect"])?.json()?;
    Ok(())
}

#[test]
fn an_assignment_that_failed_half_way_is_finished_by_the_same_command() -> Result<()> {
    let scene = &mut Scene::open()?;
    for (service, state) in [
        ("issuer", "none"),
        ("nsm", "drawn"),
        ("parent", "drawn"),
        ("dip", "drawn"),
        // Nobody needs these for it.
        ("accounts", "leased"),
        ("gateway", "leased"),
        ("backup", "leased"),
    ] {
        let user = User::logged_in(scene)?;
        scene.kill(service)?;
        let ran = user.assign()?;
        let told = user.run(&["dip", "status"])?.json()?;
        assert_eq!(told["state"], state, "{service} is down: {}", ran.err);
        if state == "leased" {
            assert_eq!(ran.status, 0);
        } else {
            assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{service}: {}", ran.err);
            assert!(ran.err.contains("give the same command again"), "{service}: {}", ran.err);
        }
        scene.restart(service)?;
        let leased = eventually(|| user.assign()?.json())?;
        assert_eq!(leased["state"], "leased");
        assert_eq!(user.assign()?.json()?, leased);
    }
    // Logging in, for which accounts is needed.
    let user = User::new(scene)?;
    user.trust()?.json()?;
    scene.kill("accounts")?;
    let ran = user.log_in()?;
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("give the same command again"), "{}", ran.err);
    scene.restart("accounts")?;
    user.log_in()?.json()?;
    user.assign()?.json()?;
    assert_leases(scene, 8)
}

#[test]
fn the_command_itself_may_be_killed() -> Result<()> {
    let scene = Scene::open()?;
    let user = User::logged_in(&scene)?;
    // As soon as there is a seed on disk, sent or not; then while it waits between the two halves, twice.
    let seed = killed_once(&user, &["drawing", "drawn"])?;
    for _ in 0..2 {
        assert_eq!(killed_once(&user, &["drawn"])?, seed, "a second token was drawn");
    }
    assert_eq!(user.assign()?.json()?["state"], "leased");
    let drawn = "subscriptions WHERE dedicated_ip_drawn = 1";
    assert_eq!(Stored::by(&scene, "issuer")?.count(drawn, [])?, 1);
    assert_leases(&scene, 1)
}

/// A running command, which is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills an assignment as soon as the wallet is in one of these states, and gives the draw's seed.
fn killed_once(user: &User, states: &[&str]) -> Result<Value> {
    let mut command = Command::new(binaries()?.client());
    // Of four billion seconds it won't draw none.
    command.arg("--home").arg(user.home()).args(["dip", "assign", "--wait", "4000000000"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn()?);
    let seed = || {
        let wallet: Value = serde_json::from_str(&user.wallet().context("no wallet")?)?;
        let seed = states.iter().find_map(|state| wallet.pointer(&format!("/dip/{state}/seed")));
        seed.cloned().context("not so far yet")
    };
    let seed = eventually(seed)?;
    drop(running);
    Ok(seed)
}
