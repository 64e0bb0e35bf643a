//! The backup follows the wallet: after a refresh, under another code, and until it is removed.

use std::sync::Arc;

use access_code::BackupKeys;
use anyhow::{Context as _, Result};
use coarse::SystemClock;
use endtoend::program::{User, provider_file};
use endtoend::scene::{Scene, shared};
use endtoend::services::Services;
use serde_json::json;
use session::{Session, SessionConfig, Silent};

use crate::{
    another_device, answered, backed_up, backup_keys, contents, refreshed_five_days_ago, text,
    wallet,
};

fn drt(user: &User) -> Result<String> {
    text(&wallet(user)?, "/dip/leased/minted/drt")
}

/// What the backup holds.
fn kept(town: &lab::Town, keys: &BackupKeys) -> Result<String> {
    Ok(contents(town, keys)?.drt.as_str().to_owned())
}

/// What a daemon does some time after a refresh.
fn rewrite(user: &User) -> Result<bool> {
    let config = SessionConfig {
        home: user.home().to_owned(),
        source: None,
        clock: Arc::new(SystemClock),
        narrator: Arc::new(Silent),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(Session::open(config)?.rewrite_backup())?)
}

fn status(user: &User) -> Result<String> {
    text(&user.run(&["dip", "backup", "status"])?.json()?, "/backup")
}

#[test]
fn after_a_refresh_the_backup_is_written_anew_once() -> Result<()> {
    let town = shared()?;
    let (first, code) = backed_up(town)?;
    let keys = backup_keys(&first)?;
    refreshed_five_days_ago(town, &first)?;
    assert_eq!(status(&first)?, "other");
    assert!(rewrite(&first)?);
    assert!(!rewrite(&first)?, "it holds the present token already");
    assert_eq!((kept(town, &keys)?, status(&first)?), (drt(&first)?, "current".into()));
    let refreshed = first.run(&["dip", "refresh"])?;
    assert!(refreshed.err.contains("cloakroom dip backup"), "{}", refreshed.err);
    assert_ne!(kept(town, &keys)?, drt(&first)?);
    assert_eq!(status(&first)?, "other");
    assert!(rewrite(&first)?);
    let newer = drt(&first)?;
    assert_eq!((kept(town, &keys)?, status(&first)?), (newer.clone(), "current".into()));
    assert!(!rewrite(&first)?);
    // The second device begins with the newer one, and writes its own afterwards.
    let second = another_device(&first)?;
    second.restore(&code)?.json()?;
    assert_eq!(kept(town, &keys)?, newer, "a restore writes nothing");
    refreshed_five_days_ago(town, &second)?;
    assert!(rewrite(&second)?);
    assert_eq!(kept(town, &keys)?, drt(&second)?);
    assert_eq!((status(&first)?, status(&second)?), ("other".into(), "current".into()));
    // By hand, under the same code, without showing it.
    let made = first.run(&["dip", "backup"])?.json()?;
    assert_eq!(made["access_code"], json!(null));
    assert_eq!(kept(town, &keys)?, drt(&first)?);
    Ok(())
}

#[test]
fn without_a_backup_there_is_nothing_to_write() -> Result<()> {
    let town = shared()?;
    let user = User::logged_in(town)?;
    user.assign()?.json()?;
    assert!(!rewrite(&user)?);
    assert_eq!(status(&user)?, "none");
    Ok(())
}

#[test]
fn another_code_takes_the_place_of_the_former_one() -> Result<()> {
    let town = shared()?;
    let (first, former_code) = backed_up(town)?;
    let former = backup_keys(&first)?;
    let made = first.run(&["dip", "backup", "--new-code"])?.json()?;
    let code = text(&made, "/access_code")?;
    assert_ne!(code, former_code);
    assert!(
        !wallet(&first)?.to_string().contains(&code),
        "the wallet keeps no code that was shown"
    );
    let second = another_device(&first)?;
    assert_eq!(second.restore(&former_code)?.status, 1, "the former backup is gone");
    second.restore(&code)?.json()?;
    assert!(former.open(&answered(town, &former)?).is_err());
    // To one's own and back to a generated one.
    let own = first.run_with(&["dip", "backup", "--own-code"], "nine grey herons on a wet roof");
    assert_eq!(own?.json()?["access_code"], json!(null));
    assert!(first.run(&["dip", "backup", "--new-code"])?.json()?["access_code"].is_string());
    Ok(())
}

#[test]
fn a_removed_backup_is_gone_and_the_address_is_not() -> Result<()> {
    let town = shared()?;
    let (first, code) = backed_up(town)?;
    let second = another_device(&first)?;
    second.restore(&code)?.json()?;
    for _ in 0..2 {
        assert_eq!(first.run(&["dip", "backup", "--remove"])?.json()?, json!({"backup": "none"}));
    }
    assert_eq!(status(&second)?, "missing");
    for device in [&first, &second] {
        device.run(&["dip", "refresh"])?.json()?;
    }
    // The second device has its keys still and writes it anew when it refreshes.
    refreshed_five_days_ago(town, &second)?;
    assert!(rewrite(&second)?);
    assert_eq!(status(&second)?, "current");
    // Giving the address up on one device leaves the other's backup alone.
    second.run(&["dip", "forget", "--yes"])?.json()?;
    let third = another_device(&first)?;
    third.restore(&code)?.json()?;
    Ok(())
}

/// Nobody may be left with a code that was never shown, whatever fails.
#[test]
fn a_code_is_shown_once_its_backup_is_there_and_the_former_stays_until_then() -> Result<()> {
    let scene = &mut Scene::open()?;
    let user = User::logged_in(scene)?;
    user.assign()?.json()?;
    scene.kill("backup")?;
    let failed = user.run(&["dip", "backup"])?;
    assert_eq!((failed.status, failed.out.as_str()), (1, ""));
    let meant = text(&wallet(&user)?, "/backup/next/code")?;
    scene.restart("backup")?;
    let made = user.run(&["dip", "backup"])?.json()?;
    assert_eq!(made["access_code"], json!(meant), "the code that was made first");
    let former = backup_keys(&user)?;
    scene.kill("backup")?;
    assert_eq!(user.run(&["dip", "backup", "--new-code"])?.status, 1);
    scene.restart("backup")?;
    // A daemon goes on with the former code meanwhile.
    refreshed_five_days_ago(scene, &user)?;
    assert!(rewrite(&user)?);
    assert_eq!(kept(scene, &former)?, drt(&user)?);
    let next = text(&wallet(&user)?, "/backup/next/code")?;
    let made = user.run(&["dip", "backup", "--new-code"])?.json()?;
    assert_eq!(made["access_code"], json!(next));
    assert!(former.open(&answered(scene, &former)?).is_err());
    Ok(())
}

#[test]
fn a_provider_without_the_service_says_so() -> Result<()> {
    let town = shared()?;
    let mut services = Services::of(town)?;
    services.provider.urls.backup = None;
    let room = tempfile::tempdir()?;
    let file = provider_file(&services.provider, room.path())?;
    let user = User::new(town)?.who_is_given(file).who_logs_in()?;
    user.assign()?.json()?;
    for ran in
        [user.run(&["dip", "backup"])?, another_device(&user)?.restore("whatever it may be")?]
    {
        assert_eq!(ran.status, 1);
        assert!(ran.err.contains("no backup service"), "{}", ran.err);
    }
    assert!(!rewrite(&user)?);
    wallet(&user)?.get("backup").map_or(Ok(()), |_| None.context("a backup was begun"))
}
