//! Two devices, and the second when the first is gone.

use anyhow::Result;
use endtoend::evidence::Stored;
use endtoend::scene::{Scene, shared};
use endtoend::tunnel;
use serde_json::json;

use crate::{another_device, backed_up, text, wallet};

#[test]
fn two_devices_leave_from_the_same_address_at_once() -> Result<()> {
    let town = shared()?;
    let (first, code) = backed_up(town)?;
    let before = first.run(&["dip", "status"])?.json()?;
    let second = another_device(&first)?;
    let restored = second.restore(&code)?.json()?;
    assert_eq!(restored["state"], "leased");
    for same in ["dedicated_ip", "lease", "region", "gateway"] {
        assert_eq!(restored[same], before[same], "{same}");
    }
    assert_ne!(restored["device_key"], before["device_key"]);
    let (one, other) = (first.connect()?, second.connect()?);
    let ip = text(&before, "/dedicated_ip")?;
    let web = town.web_address();
    // Each while the other is open, and again afterwards.
    for proxy in [one, other, one, other] {
        assert_eq!(tunnel::seen(proxy, web)?.to_string(), ip);
    }
    // Neither's tokens end the other's: both refresh, in either order, and go on.
    for device in [&first, &second, &second, &first] {
        assert_eq!(device.run(&["dip", "refresh"])?.json()?["dedicated_ip"], json!(ip));
    }
    for proxy in [one, other] {
        assert_eq!(tunnel::seen(proxy, web)?.to_string(), ip);
    }
    for device in [&first, &second] {
        device.run(&["disconnect"])?.json()?;
    }
    // One lease, two devices.
    let stored = Stored::by(town, "dip")?;
    let lease = hex::decode(text(&before, "/lease")?)?;
    assert_eq!(stored.count("leases WHERE lease = ?1", [lease])?, 1);
    Ok(())
}

#[test]
fn the_address_outlives_the_device_that_got_it() -> Result<()> {
    let town = shared()?;
    let (first, code) = backed_up(town)?;
    let ip = text(&first.run(&["dip", "status"])?.json()?, "/dedicated_ip")?;
    let another = first.on_another_device()?;
    drop(first);
    let second = another.who_logs_in()?;
    // Typed as people type.
    let typed = format!(" {}\n", code.to_lowercase().replace('-', " "));
    assert_eq!(second.restore(&typed)?.json()?["dedicated_ip"], json!(ip));
    let proxy = second.connect()?;
    assert_eq!(tunnel::seen(proxy, town.web_address())?.to_string(), ip);
    second.run(&["disconnect"])?.json()?;
    // And on to a third.
    let third = another_device(&second)?;
    assert_eq!(third.restore(&code)?.json()?["dedicated_ip"], json!(ip));
    Ok(())
}

#[test]
fn a_restore_that_failed_half_way_is_finished_by_either_command() -> Result<()> {
    let scene = &mut Scene::open()?;
    let (first, code) = backed_up(scene)?;
    let ip = text(&first.run(&["dip", "status"])?.json()?, "/dedicated_ip")?;
    for finish in [&["dip", "restore"][..], &["dip", "refresh"], &["dip", "assign", "--wait", "0"]]
    {
        let second = another_device(&first)?;
        scene.kill("dip")?;
        let failed = second.restore(&code)?;
        assert_eq!((failed.status, failed.out.as_str()), (1, ""));
        assert!(failed.err.contains("give the same command again"), "{}", failed.err);
        let told = second.run(&["dip", "status"])?.json()?;
        assert_eq!((&told["state"], &told["dedicated_ip"]), (&json!("restored"), &json!(ip)));
        for command in [&["connect"][..], &["dip", "export"], &["dip", "backup"]] {
            let refused = second.run(command)?;
            assert_eq!(refused.status, 1, "{command:?}");
            assert!(refused.err.contains("cloakroom dip refresh"), "{}", refused.err);
        }
        scene.restart("dip")?;
        // Nobody asks for the code once more.
        let finished = endtoend::eventually(|| second.run(finish)?.json())?;
        assert_eq!((&finished["state"], &finished["dedicated_ip"]), (&json!("leased"), &json!(ip)));
        assert_eq!(wallet(&second)?["dip"]["leased"]["drawn"], json!(null));
    }
    // The backup service itself is down: nothing was begun.
    let second = another_device(&first)?;
    scene.kill("backup")?;
    let failed = second.restore(&code)?;
    assert!(failed.err.contains("give the same command again"), "{}", failed.err);
    assert_eq!(second.run(&["dip", "status"])?.json()?, json!({"state": "none"}));
    scene.restart("backup")?;
    assert_eq!(second.restore(&code)?.json()?["dedicated_ip"], json!(ip));
    Ok(())
}
