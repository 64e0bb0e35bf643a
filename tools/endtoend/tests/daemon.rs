//! The daemon keeps an address for as long as its subscription is paid, on clocks that are moved.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use endtoend::program::User;
use endtoend::scene::{Scene, binaries};
use endtoend::{eventually, tunnel};
use lab::Town;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;

const HOUR: Duration = Duration::from_secs(3600);

/// A line of what the daemon did.
#[derive(Deserialize)]
struct Tried {
    duty: String,
    done: bool,
}

/// What the daemon did when it was asked once: each duty, and whether it succeeded.
fn once(user: &User) -> Result<Vec<(String, bool)>> {
    let ran = user.run(&["daemon", "--once"])?;
    assert_eq!(ran.status, 0, "{}", ran.err);
    let lines = ran.out.lines().map(serde_json::from_str::<Tried>);
    lines.map(|tried| tried.map(|Tried { duty, done }| (duty, done)).map_err(Into::into)).collect()
}

/// The hours, counted from the start, at which duties were done.
#[derive(Default)]
struct Diary {
    hour: u32,
    done: Vec<(u32, String)>,
    failed: Vec<(u32, String)>,
}

impl Diary {
    /// An hour passes.
    fn hour(&mut self, town: &Town, user: &User) -> Result<()> {
        self.hour += 1;
        town.set_ahead(self.hour * HOUR)?;
        for (duty, done) in once(user)? {
            let list = if done { &mut self.done } else { &mut self.failed };
            list.push((self.hour, duty));
        }
        Ok(())
    }

    fn of(&self, duty: &str) -> Vec<u32> {
        self.done.iter().filter(|(_, done)| done == duty).map(|(hour, _)| *hour).collect()
    }
}

fn rehearsing(town: &Town) -> Result<User> {
    User::new(town)?.who_rehearses(town).who_logs_in()
}

#[test]
fn an_address_is_kept_for_ten_days_and_its_tunnel_never_ends() -> Result<()> {
    let scene = Scene::with(&binaries()?, true)?;
    let user = rehearsing(&scene)?;
    assert_eq!(once(&user)?, [], "there is nothing to keep yet");
    let leased = user.assign()?.json()?;
    user.run(&["dip", "backup"])?.json()?;
    let ip = leased["dedicated_ip"].as_str().context("no address")?;
    let (proxy, web) = (user.connect()?, scene.web_address());
    let mut diary = Diary::default();
    for _ in 0..240 {
        diary.hour(&scene, &user)?;
        // Access is good for three days, and the gateway's clock is the same.
        let seen = eventually(|| tunnel::seen(proxy, web));
        let seen = seen.with_context(|| format!("after {} hours: {:?}", diary.hour, diary.done))?;
        assert_eq!(seen.to_string(), ip);
    }
    user.run(&["disconnect"])?.json()?;
    assert_eq!(diary.failed, []);
    let (receipts, refreshes) = (diary.of("receipt"), diary.of("refresh"));
    assert!((3..=10).contains(&receipts.len()) && (3..=8).contains(&refreshes.len()));
    for receipt in &receipts {
        assert!(refreshes.iter().all(|refresh| refresh.abs_diff(*receipt) >= 2));
    }
    // Each refresh is followed by its backup, unless the next one came first; a code leads to the newest.
    assert!(diary.of("backup").len() + 1 >= refreshes.len());
    let status = user.run(&["daemon", "--status"])?.json()?;
    assert_eq!(status["running"], false);
    assert!(status["next"]["receipt"].is_string() && status["next"]["refresh"].is_string());
    Ok(())
}

#[test]
fn what_fails_is_tried_again_until_it_succeeds() -> Result<()> {
    let scene = &mut Scene::with(&binaries()?, true)?;
    let user = rehearsing(scene)?;
    let leased = user.assign()?.json()?;
    let mut diary = Diary::default();
    for service in ["accounts", "dip", "issuer"] {
        scene.kill(service)?;
    }
    while !["receipt", "refresh"].iter().all(|duty| diary.failed.iter().any(|(_, one)| one == duty))
    {
        diary.hour(scene, &user)?;
        assert!(diary.hour < 72, "{:?}", diary.failed);
    }
    assert_eq!(diary.done, []);
    for service in ["accounts", "dip"] {
        scene.restart(service)?;
    }
    // A pause is four hours at most, and each keeps three to six from the other.
    let since = diary.hour;
    while diary.of("receipt").is_empty() || diary.of("refresh").is_empty() {
        diary.hour(scene, &user)?;
        assert!(diary.hour < since + 40, "{:?} {:?}", diary.done, diary.failed);
    }
    let kept = user.run(&["dip", "status"])?.json()?;
    assert_eq!(kept["lease"], leased["lease"]);
    assert_ne!(kept["dat_ends"], leased["dat_ends"]);
    Ok(())
}

/// A machine that slept past the receipt's end: whichever was due first, accounts and the DIP service hear of the device hours apart.
#[test]
fn a_receipt_and_a_refresh_are_never_one_breath() -> Result<()> {
    for first in ["refresh", "receipt"] {
        let scene = Scene::with(&binaries()?, true)?;
        let user = rehearsing(&scene)?;
        let leased = user.assign()?.json()?;
        once(&user)?;
        due_first(&user, first)?;
        let mut diary = Diary { hour: 99, ..Diary::default() };
        diary.hour(&scene, &user)?;
        assert_eq!(diary.done, [(100, "receipt".to_owned())], "{first}");
        let waits = if first == "refresh" { vec![(100, "refresh".to_owned())] } else { vec![] };
        assert_eq!(diary.failed, waits, "{first}");
        while diary.of("refresh").is_empty() {
            diary.hour(&scene, &user)?;
            assert!(diary.hour < 120, "{:?} {:?}", diary.done, diary.failed);
        }
        assert!(diary.of("refresh").iter().all(|hour| *hour >= 103), "{:?}", diary.done);
        assert_eq!(user.run(&["dip", "status"])?.json()?["lease"], leased["lease"]);
    }
    Ok(())
}

/// Has the plan in a wallet begin with this duty.
fn due_first(user: &User, first: &str) -> Result<()> {
    let mut wallet: Value = serde_json::from_str(&user.wallet().context("no wallet")?)?;
    let places = ["/plan/receipt/next", "/plan/refresh/next"];
    let next = |place| wallet.pointer(place).and_then(Value::as_u64).context("no time");
    let [receipt, refresh] = places.map(next);
    let (receipt, refresh) = (receipt?, refresh?);
    if (refresh < receipt) != (first == "refresh") {
        for (place, at) in places.into_iter().zip([refresh, receipt]) {
            *wallet.pointer_mut(place).context("no time")? = at.into();
        }
    }
    Ok(std::fs::write(user.home().join("wallet.json"), wallet.to_string())?)
}

#[test]
fn what_is_due_is_forgotten_with_the_lease() -> Result<()> {
    let scene = Scene::with(&binaries()?, true)?;
    let user = rehearsing(&scene)?;
    user.assign()?.json()?;
    once(&user)?;
    let planned = user.run(&["daemon", "--status"])?.json()?;
    assert!(planned["next"]["refresh"].is_string());
    user.run(&["dip", "forget", "--yes"])?.json()?;
    let planned = user.run(&["daemon", "--status"])?.json()?;
    assert!(planned["next"]["refresh"].is_null());
    assert_eq!(once(&user)?, []);
    Ok(())
}

/// A daemon that is killed when the test ends before it.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_daemon_looks_after_a_wallet_and_ends_when_told() -> Result<()> {
    let scene = Scene::with(&binaries()?, true)?;
    let user = rehearsing(&scene)?;
    user.assign()?.json()?;
    let mut command = user.program()?;
    command.arg("daemon").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut daemon = Daemon(command.spawn()?);
    let running = || -> Result<()> {
        let status = user.run(&["daemon", "--status"])?.json()?;
        anyhow::ensure!(status["running"] == true && status["next"]["refresh"].is_string());
        Ok(())
    };
    eventually(running)?;
    let second = user.run(&["daemon"])?;
    assert_eq!(second.status, 2);
    assert!(second.err.contains("already"), "{}", second.err);
    // Other commands go on beside it.
    user.run(&["dip", "refresh"])?.json()?;
    let id = Pid::from_raw(i32::try_from(daemon.0.id())?).context("no process")?;
    kill_process(id, Signal::TERM)?;
    assert!(daemon.0.wait()?.success());
    assert_eq!(user.run(&["daemon", "--status"])?.json()?["running"], false);
    Ok(())
}
