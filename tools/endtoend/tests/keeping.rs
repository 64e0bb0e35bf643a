//! A provider that stays: `cloakroom demo --keep` and `--stop`, as scripts use them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use endtoend::eventually;
use endtoend::program::{Ran, cloakroom};
use endtoend::scene::binaries;
use lab::Kept;
use privacy_pass::TokenChallenge;
use serde_json::{Value, json};

fn demo(what: &str, dir: &Path) -> Result<Ran> {
    cloakroom(&["--json", "demo", what, "--dir", dir.to_str().context("no text")?], "")
}

/// Ends what a failed test left.
struct Ended<'a>(&'a Path);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let _ = demo("--stop", self.0);
    }
}

/// Whether a process runs. (One that has ended and that nobody waited for doesn't.)
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The processes that have this directory in an argument.
fn residents(dir: &Path) -> Result<Vec<String>> {
    let dir = dir.to_str().context("no text")?;
    let entries = fs::read_dir("/proc")?.flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    Ok(lines.filter(|line| line.contains(dir)).collect())
}

fn healthy(url: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = http_client::HttpClient::new(http_client::ClientConfig::default(), ());
    let request = http::Request::get(format!("{url}/health")).body(bytes::Bytes::new())?;
    let answer = runtime.block_on(client.send(request))?;
    ensure!(answer.status() == 200, "{url}: {}", answer.status());
    Ok(())
}

fn session_of(pid: i32) -> Result<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no state")?;
    Ok(fields.split(' ').nth(3).context("no session")?.parse()?)
}

#[test]
fn a_provider_stays_until_it_is_stopped() -> Result<()> {
    let room = tempfile::tempdir()?;
    let dir = &room.path().join("demo");
    let ended = Ended(dir);
    let first = demo("--keep", dir)?.json()?;
    // What was printed is what the file says, and all the names that scripts rely on are there.
    assert_eq!(first, serde_json::from_slice::<Value>(&fs::read(dir.join("demo.json"))?)?);
    let kept: Kept = serde_json::from_value(first.clone())?;
    for (name, url) in &kept.urls {
        healthy(url).with_context(|| name.clone())?;
    }
    let services =
        ["accounts", "backup_service", "blind_token_service", "dip_service", "enclave", "gateway"];
    assert!(kept.urls.keys().eq(services));
    let parties = [
        "accounts",
        "backup_service",
        "blind_token_service",
        "dip_service",
        "enclave",
        "enclave_parent",
        "gateway",
        "security_module",
    ];
    assert!(kept.pids.keys().eq(parties));
    for (party, pid) in &kept.pids {
        assert!(runs(*pid), "{party}");
        let leader = if party == "enclave" { "security_module" } else { party };
        assert_eq!(Some(&session_of(*pid)?), kept.pids.get(leader), "{party} isn't on its own");
    }
    assert!(kept.roots.values().all(|root| hex::decode(root).is_ok_and(|root| root.len() == 32)));
    assert!(kept.roots.keys().eq(["access", "dedicated-ip"]));
    let challenge = kept.challenge.get("dedicated-ip").context("no challenge")?;
    TokenChallenge::decode(&URL_SAFE_NO_PAD.decode(challenge)?)?;
    assert_eq!(kept.provider, dir.canonicalize()?.join("provider.json"));

    // A client uses it from a session of its own; the spare account is another's.
    let wallet = room.path().join("wallet");
    let as_user = |arguments: &[&str], input: &str| -> Result<Ran> {
        let home = ["--home", wallet.to_str().context("no text")?, "--json"];
        cloakroom(&[&home, arguments].concat(), input)
    };
    let provider = kept.provider.to_str().context("no text")?;
    as_user(&["trust", "add", provider, "--accept-untrusted-development"], "")?.json()?;
    as_user(&["account", "login"], &kept.spare.account)?.json()?;
    let leased =
        as_user(&["dip", "assign", "--region", &kept.region, "--wait", "0"], "")?.json()?;
    assert_eq!(leased.get("state"), Some(&json!("leased")));

    // Keeping what is kept changes nothing.
    assert_eq!(demo("--keep", dir)?.json()?, first);

    let stopped = demo("--stop", dir)?.json()?;
    let ended_names = stopped.get("stopped").and_then(Value::as_array).context("no names")?;
    assert_eq!(ended_names.len(), 7);
    for (party, pid) in &kept.pids {
        assert!(!runs(*pid), "{party} still runs");
    }
    assert_eq!(residents(dir)?, Vec::<String>::new());
    assert!(!dir.join("demo.json").exists());
    assert_eq!(demo("--stop", dir)?.json()?.get("stopped"), Some(&json!([])));

    // Where one has ended another may begin, with other keys.
    let second: Kept = serde_json::from_value(demo("--keep", dir)?.json()?)?;
    assert_ne!(second.roots, kept.roots);
    drop(ended);
    assert_eq!(residents(dir)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn other_peoples_directories_and_processes_are_left_alone() -> Result<()> {
    let room = tempfile::tempdir()?;
    let foreign = &room.path().join("foreign");
    fs::create_dir(foreign)?;
    fs::write(foreign.join("letter"), "dear")?;
    for (what, dir) in
        [("--stop", foreign), ("--keep", foreign), ("--stop", &room.path().join("nowhere"))]
    {
        let refused = demo(what, dir)?;
        assert_eq!((refused.status, refused.out.as_str()), (2, ""), "{what}: {}", refused.err);
    }
    assert_eq!(fs::read_dir(foreign)?.count(), 1);
    assert!(!room.path().join("nowhere").exists());

    // A demo whose gateway died, and whose process id was given to somebody else meanwhile.
    let dir = &room.path().join("demo");
    let _ended = Ended(dir);
    let kept: Kept = serde_json::from_value(demo("--keep", dir)?.json()?)?;
    let gateway = *kept.pids.get("gateway").context("no gateway")?;
    assert!(Command::new("kill").args(["-9", &gateway.to_string()]).status()?.success());
    eventually(|| (!runs(gateway)).then_some(()).context("it still runs"))?;
    let half = demo("--keep", dir)?;
    assert_eq!(half.status, 2, "{}", half.err);
    assert!(half.err.contains("gateway doesn't run"), "{}", half.err);
    let mut other = Command::new("sleep").arg("600").spawn()?;
    let note = dir.join("running/gateway");
    let mut noted: Value = serde_json::from_slice(&fs::read(&note)?)?;
    *noted.get_mut("pid").context("no pid")? = json!(other.id());
    fs::write(&note, noted.to_string())?;
    let stopped = demo("--stop", dir)?.json()?;
    let names = stopped.get("stopped").and_then(Value::as_array).context("no names")?;
    assert!(names.len() == 6 && !names.contains(&json!("gateway")), "{names:?}");
    assert!(other.try_wait()?.is_none(), "the other was ended");
    other.kill()?;
    other.wait()?;
    Ok(())
}

/// Interrupted while it starts, or unable to go on, it leaves nothing: no process and no file.
#[test]
fn a_start_that_fails_leaves_nothing() -> Result<()> {
    let room = tempfile::tempdir()?;
    let dir = &room.path().join("demo");
    let _ended = Ended(dir);
    // Before it starts anything it builds the programs, which may take a while.
    demo("--stop", &room.path().join("nowhere"))?;
    let mut keeping = Command::new(binaries()?.client())
        .args(["demo", "--keep", "--dir"])
        .arg(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // Its services are coming up.
    let parent = dir.join("running/parent");
    eventually(|| parent.exists().then_some(()).context("nothing runs yet"))?;
    assert!(Command::new("kill").args(["-INT", &keeping.id().to_string()]).status()?.success());
    assert_eq!(keeping.wait()?.code(), Some(1));
    assert_eq!(residents(dir)?, Vec::<String>::new());
    assert!(!dir.exists());

    // Somebody else has a port that it wants: the last of the services can't start.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", 3006));
    let failed = cloakroom(
        &["demo", "--keep", "--ports", "default", "--dir", dir.to_str().context("no text")?],
        "",
    )?;
    assert_eq!(failed.status, 1, "{}", failed.err);
    assert!(failed.err.contains("gateway"), "{}", failed.err);
    assert_eq!(residents(dir)?, Vec::<String>::new());
    assert!(!dir.exists());
    Ok(())
}

#[test]
fn what_goes_with_what() -> Result<()> {
    for arguments in [
        &["demo", "--keep"][..],
        &["demo", "--stop"],
        &["demo", "--dir", "/nowhere"],
        &["demo", "--keep", "--stop", "--dir", "/nowhere"],
        &["demo", "--keep", "--users", "2", "--dir", "/nowhere"],
    ] {
        assert_eq!(cloakroom(arguments, "")?.status, 2, "{arguments:?}");
    }
    Ok(())
}
