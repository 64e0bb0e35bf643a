//! An enclave that isn't the pinned one, or is said to be: whoever believes enclaves (the client, the DIP service, the
//! gateway) is shown documents, keys and configurations by a liar in the parent's place, and real enclaves that
//! were changed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use encoding::Base64Url;
use endtoend::eventually;
use endtoend::program::{User, provider_file};
use endtoend::raw;
use endtoend::rogue::Rogue;
use endtoend::rows::Rows;
use endtoend::scene::{Scene, binaries};
use endtoend::services::{Services, now};
use lab::{Binaries, Town};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::TOWN;
use crate::liar::{LIES, Liar, own_key, start};

#[test]
fn the_client_believes_no_lie_about_the_enclave() -> Result<()> {
    let town = TOWN.lock()?;
    let mut provider = Services::of(&town)?.provider;
    let (rogue, lie) = start(Liar::new(&town)?)?;
    provider.urls.enclave = rogue.url();
    let room = tempfile::tempdir()?;
    let file = provider_file(&provider, room.path())?;
    let (user, holder) = (user_of(&town, &file)?, user_of(&town, &file)?);
    // What is true goes through, and there is a lease to refresh; and a token is drawn that waits.
    holder.assign()?.json()?;
    *lie.lock().unwrap() = LIES[0].1;
    assert_eq!(user.assign()?.status, 1);
    let (before, wallet, held) = (Rows::of(&town)?, user.wallet(), holder.wallet());
    for (what, tell, expected) in LIES {
        *lie.lock().unwrap() = tell;
        for refused in [user.assign()?, holder.run(&["dip", "refresh"])?] {
            assert_eq!(refused.status, 1, "{what}: {}", refused.err);
            assert!(refused.err.contains(expected), "{what}: {}", refused.err);
            assert!(
                !refused.err.contains("give the same command again"),
                "{what}: {}",
                refused.err
            );
        }
        assert_eq!((user.wallet(), holder.wallet()), (wallet.clone(), held.clone()), "{what}");
    }
    // Nobody was shown the token or the refresh token: whoever lies would have got what is sealed to a key of theirs.
    assert!(rogue.asked().iter().all(|asked| asked.method == "GET" && asked.body.is_empty()));
    before.unchanged(&town)?;
    *lie.lock().unwrap() = Liar::real;
    user.assign()?.json()?;
    Ok(())
}

fn user_of(town: &Town, file: &Path) -> Result<User> {
    User::new(town)?.who_is_given(file.to_owned()).who_logs_in()
}

/// A service of the address side with a directory of its own, and somebody's parent.
struct Believer {
    child: Child,
    address: SocketAddr,
    room: TempDir,
}

impl Believer {
    fn start(town: &Town, service: &str, parent: &str) -> Result<Self> {
        let room = tempfile::tempdir()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(town.program(service));
        command.arg("--state").arg(room.path().join("state")).arg("serve");
        command.args(["--enclave", parent, "--listen", &address.to_string()]);
        command.arg("--provider").arg(town.provider()).arg("--log").arg(room.path().join("log"));
        if service == "gateway" {
            command.args(["--serve", "127.79.0.0/24", "--local", "--tunnel-listen", "127.0.0.1:0"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn()?, address, room })
    }

    /// What it says of the enclave in its log, and its health once it has said it.
    fn verdict(&self) -> Result<(String, Option<u16>)> {
        let said = eventually(|| {
            let log = std::fs::read_to_string(self.room.path().join("log"))?;
            let line = log.lines().find(|line| line.contains("attested"));
            line.map(str::to_owned).context("nothing yet")
        })?;
        let health = raw::request("GET", "/health", &[], b"");
        Ok((said, eventually(|| raw::exchange(self.address, &health))?.status))
    }
}

impl Drop for Believer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_dip_service_and_the_gateway_believe_no_lie_about_the_enclave() -> Result<()> {
    let town = TOWN.lock()?;
    let (rogue, lie) = start(Liar::new(&town)?)?;
    let start = |service| Believer::start(&town, service, &rogue.url());
    for (what, tell, expected) in LIES {
        *lie.lock().unwrap() = tell;
        for believer in [start("dip")?, start("gateway")?] {
            let (said, health) = believer.verdict()?;
            assert!(said.contains("is not attested"), "{what}: {said}");
            assert!(said.contains(expected), "{what}: {said}");
            // It serves nobody.
            assert_eq!(health, Some(503), "{what}");
        }
    }
    *lie.lock().unwrap() = Liar::real;
    for believer in [start("dip")?, start("gateway")?] {
        assert!(believer.verdict()?.0.contains("the enclave is attested"));
    }
    Ok(())
}

/// Starts a service of the scene again and waits for what it says of the enclave.
fn says_of_the_enclave(scene: &mut Scene, service: &'static str) -> Result<String> {
    scene.kill(service)?;
    let log = scene.home(service).join("log");
    let before = std::fs::read_to_string(&log)?.len();
    scene.launch(service)?;
    eventually(|| {
        let log = std::fs::read_to_string(&log)?;
        let line =
            log.get(before..).and_then(|new| new.lines().find(|line| line.contains("attested")));
        line.map(str::to_owned).context("nothing yet")
    })
}

fn assert_nobody_believes(
    scene: &mut Scene,
    before: &User,
    after: &User,
    expected: &str,
) -> Result<()> {
    let (rows, wallet) = (Rows::of(scene)?, before.wallet());
    for _ in 0..2 {
        for (user, command) in [(after, &ASSIGN[..]), (before, &["dip", "refresh"])] {
            let refused = user.run(command)?;
            assert_eq!(refused.status, 1, "{}", refused.err);
            assert!(refused.err.contains(expected), "{}", refused.err);
            assert!(!refused.err.contains("give the same command again"), "{}", refused.err);
        }
    }
    // The address that there is stays, and the token that was drawn waits for the pinned enclave.
    assert_eq!(before.wallet(), wallet);
    assert_eq!(after.run(&["dip", "status"])?.json()?["state"], "drawn");
    for service in ["dip", "gateway"] {
        let said = says_of_the_enclave(scene, service)?;
        assert!(said.contains("is not attested") && said.contains(expected), "{said}");
        let health = raw::request("GET", "/health", &[], b"");
        let address = raw::address(&scene.url(service)?)?;
        assert_eq!(eventually(|| raw::exchange(address, &health))?.status, Some(503));
    }
    rows.unchanged(scene)
}

const ASSIGN: [&str; 6] = ["dip", "assign", "--region", "demo", "--wait", "0"];

/// Draws a token that waits: the enclave is down meanwhile.
fn drawn(scene: &mut Scene) -> Result<User> {
    let user = User::logged_in(scene)?;
    scene.kill("parent")?;
    assert_eq!(user.run(&ASSIGN)?.status, 1);
    assert_eq!(user.run(&["dip", "status"])?.json()?["state"], "drawn");
    Ok(user)
}

#[test]
fn an_enclave_with_one_byte_more_is_not_believed() -> Result<()> {
    // The programs as they are, but for an enclave that can be changed.
    let real = binaries()?;
    let room = tempfile::tempdir()?;
    let enclave = room.path().join("cloakroom-enclave");
    for program in real.all() {
        let name = program.file_name().context("no name")?;
        if room.path().join(name) == enclave {
            std::fs::copy(&program, &enclave)?;
        } else {
            std::os::unix::fs::symlink(&program, room.path().join(name))?;
        }
    }
    let mut scene = Scene::with(&Binaries::in_directory(room.path())?, false)?;
    let before = User::logged_in(&scene)?;
    before.assign()?.json()?;
    let after = drawn(&mut scene)?;

    scene.kill("nsm")?;
    let genuine = std::fs::read(&enclave)?;
    let changed = [&genuine[..], &[0]].concat();
    std::fs::write(&enclave, changed)?;
    // What was wrapped for the pinned enclave isn't unwrapped for this one: it doesn't even boot.
    scene.restart("nsm")?;
    scene.launch("parent")?;
    let errors = scene.home("parent").join("errors");
    eventually(|| match std::fs::read_to_string(&errors)?.contains("could not be booted") {
        true => Ok(()),
        false => bail!("it boots"),
    })?;
    // With a minting key of its own it works as before, but for this: nobody believes it.
    scene.kill("nsm")?;
    let _ = scene.kill("parent");
    std::fs::remove_file(scene.home("parent").join("state/keys/minting.ring"))?;
    for service in ["nsm", "parent"] {
        scene.restart(service)?;
    }
    assert_nobody_believes(&mut scene, &before, &after, "'pcr-0'")
}

#[test]
fn an_enclave_with_another_configuration_is_not_believed() -> Result<()> {
    let mut scene = Scene::open()?;
    let before = User::logged_in(&scene)?;
    before.assign()?.json()?;
    let after = drawn(&mut scene)?;
    // The operator has it believe orders of a key of theirs, too.
    let file = scene.provider().with_file_name("boot.json");
    let mut boot: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let own = serde_json::to_value(jws::KeySet::from(own_key()?.verifying_key()))?;
    let keys = boot["order_keys"]["keys"].as_array_mut().context("no keys")?;
    keys.push(own["keys"][0].clone());
    std::fs::write(&file, boot.to_string())?;
    scene.kill("nsm")?;
    for service in ["nsm", "parent"] {
        scene.restart(service)?;
    }
    // It runs, and would mint for such an order.
    let services = Services::of(&scene)?;
    let served = services.attestation(&[1; 32])?;
    assert_ne!(
        served.boot_configuration.0,
        services.provider.enclave.boot_configuration.as_bytes()
    );
    assert_nobody_believes(&mut scene, &before, &after, "another configuration")?;

    // The same enclave behind a liar who shows the pinned configuration.
    let (real, pinned) =
        (scene.url("parent")?, services.provider.enclave.boot_configuration.clone());
    let rogue = Rogue::start(move |asked| {
        let mut told = asked.passed_on(&real)?;
        let mut served: Value = serde_json::from_slice(&told.body)?;
        served["boot_configuration"] = json!(Base64Url(pinned.clone().into_bytes()));
        told.body = served.to_string().into_bytes();
        Ok(told)
    })?;
    let mut provider = services.provider.clone();
    provider.urls.enclave = rogue.url();
    let room = tempfile::tempdir()?;
    let user = user_of(&scene, &provider_file(&provider, room.path())?)?;
    let refused = user.assign()?;
    assert!(refused.err.contains("not the one that was measured"), "{}", refused.err);
    for service in ["dip", "gateway"] {
        let believer = Believer::start(&scene, service, &rogue.url())?;
        let (said, health) = believer.verdict()?;
        assert!(said.contains("not the one that was measured"), "{said}");
        assert_eq!(health, Some(503));
    }
    // A nonce that isn't ours is refused by hand, too.
    assert!(served.verify(&services.provider.enclave, &[2; 32], now()).is_err());
    Ok(())
}
