//! A server's life, and that nothing is left of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use postgres_cluster::{Cluster, Options};

const MEMORY: Options = Options { in_memory: true, settings: Vec::new() };

/// Waits until something has come about.
fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !is_so() {
        ensure!(Instant::now() < deadline, "{what}: not in time");
        std::thread::yield_now();
    }
    Ok(())
}

/// Whether a process works in this directory.
fn anybody_in(directory: &Path) -> bool {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.path().join("cwd").read_link().ok())
        .any(|cwd| cwd == directory)
}

#[test]
fn what_was_committed_is_there_after_a_stop_and_after_a_crash() -> Result<()> {
    let mut cluster = Cluster::start(Options::default())?;
    let name = cluster.database("things")?.name;
    cluster.sql(&name, "CREATE TABLE things (n bigint PRIMARY KEY)")?;
    let insert =
        |cluster: &Cluster, n: u32| cluster.sql(&name, &format!("INSERT INTO things VALUES ({n})"));
    insert(&cluster, 1)?;
    cluster.stop()?;
    assert!(insert(&cluster, 2).is_err());
    cluster.restart()?;
    insert(&cluster, 3)?;
    cluster.kill()?;
    assert!(cluster.stop().is_err() && !anybody_in(&cluster.data()));
    cluster.restart()?;
    assert_eq!(cluster.sql(&name, "SELECT n FROM things ORDER BY n")?, "1\n3\n");
    assert!(cluster.log()?.contains("automatic recovery in progress"));
    Ok(())
}

#[test]
fn a_role_reaches_its_own_database_only() -> Result<()> {
    let cluster = Cluster::start(MEMORY)?;
    let (one, other) = (cluster.database("one")?, cluster.database("other")?);
    assert_ne!(one.name, other.name);
    let psql = |url: &str| {
        let mut psql = Command::new("psql");
        psql.args([url, "-c", "CREATE TABLE mine (n bigint)"])
            .output()
            .map(|ran| ran.status.success())
    };
    assert!(psql(&one.url)?);
    assert!(!psql(&cluster.url(&one.name, &other.name)?)?);
    Ok(())
}

#[test]
fn settings_change_while_it_runs() -> Result<()> {
    let settings = vec![("work_mem".to_owned(), "5MB".to_owned())];
    let cluster = Cluster::start(Options { settings, ..MEMORY })?;
    assert_eq!(cluster.sql("postgres", "SHOW work_mem")?, "5MB\n");
    cluster.set("work_mem", "6144")?;
    assert_eq!(cluster.sql("postgres", "SHOW work_mem")?, "6MB\n");
    Ok(())
}

#[test]
fn a_cluster_at_a_place_stays_there() -> Result<()> {
    let room = tempfile::tempdir()?;
    let place = room.path().join("server");
    let cluster = Cluster::at(&place, &MEMORY)?;
    let database = cluster.database_named("kept")?;
    drop(cluster);
    assert!(!anybody_in(&place.join("data").canonicalize()?));
    let cluster = Cluster::at(&place, &MEMORY)?;
    assert_eq!(cluster.url("kept", "kept")?, database.url);
    assert!(cluster.database_named("kept").is_err(), "it is there already");
    let process = cluster.leave()?;
    assert!(anybody_in(&place.join("data").canonicalize()?));
    assert!(Command::new("kill").args(["-QUIT", &process.to_string()]).status()?.success());
    until("the end", || !anybody_in(&place.join("data")))
}

#[test]
fn nothing_is_left_when_it_is_dropped() -> Result<()> {
    let cluster = Cluster::start(MEMORY)?;
    let data = cluster.data();
    assert!(anybody_in(&data));
    drop(cluster);
    assert!(!anybody_in(&data) && !data.parent().context("no parent")?.exists());
    Ok(())
}

/// What the test below runs as a process of its own: it starts a server, says where, and waits to be killed.
#[test]
fn hostage() -> Result<()> {
    let Some(told) = std::env::var_os("CLOAKROOM_TEST_HOSTAGE") else { return Ok(()) };
    let cluster = Cluster::start(MEMORY)?;
    std::fs::write(&told, cluster.data().as_os_str().as_encoded_bytes())?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

#[test]
fn nothing_is_left_when_its_process_is_killed() -> Result<()> {
    let room = tempfile::tempdir()?;
    let told = room.path().join("where");
    let mut process = Command::new(std::env::current_exe()?)
        .args(["--exact", "hostage"])
        .env("CLOAKROOM_TEST_HOSTAGE", &told)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let place = || std::fs::read_to_string(&told).unwrap_or_default();
    until("a server", || !place().is_empty())?;
    let data = PathBuf::from(place());
    assert!(anybody_in(&data));
    process.kill()?;
    process.wait()?;
    until("its end", || !anybody_in(&data) && !data.exists())
}
