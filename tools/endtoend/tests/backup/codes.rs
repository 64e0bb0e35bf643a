//! Codes that open nothing, and what becomes of somebody who has forgotten theirs.

use anyhow::Result;
use endtoend::evidence::Stored;
use endtoend::program::{Ran, User};
use endtoend::scene::shared;
use serde_json::json;

use crate::{another_device, answered, backed_up, backup_keys, text};

/// A command that failed with this status and these words, and printed no result.
fn failed(ran: &Ran, status: i32, words: &[&str]) {
    assert_eq!((ran.status, ran.out.as_str()), (status, ""), "{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is not in {:?}", ran.err);
    }
}

/// All three that it may be are named, and what to do.
const NOTHING_OPENS: [&str; 4] =
    ["the code is wrong", "another account", "there is no backup", "ask support for a reset"];

#[test]
fn a_wrong_code_anothers_account_and_no_backup_look_alike() -> Result<()> {
    let town = shared()?;
    let (first, code) = backed_up(town)?;
    let (other, others_code) = backed_up(town)?;
    let (stranger, same_person) = (User::logged_in(town)?, another_device(&first)?);
    let mut said = Vec::new();
    for (device, code) in [
        (&same_person, "quite another code of somebody's"),
        (&same_person, others_code.as_str()),
        (&stranger, code.as_str()),
        (&another_device(&other)?, code.as_str()),
    ] {
        let ran = device.restore(code)?;
        failed(&ran, 1, &NOTHING_OPENS);
        assert_eq!(device.run(&["dip", "status"])?.json()?, json!({"state": "none"}));
        said.push(ran.err);
    }
    first.run(&["dip", "backup", "--remove"])?.json()?;
    said.push(same_person.restore(&code)?.err);
    assert!(said.iter().all(|words| *words == said[0]), "{said:#?}");
    Ok(())
}

#[test]
fn a_mistyped_code_is_not_sent() -> Result<()> {
    let town = shared()?;
    let (first, code) = backed_up(town)?;
    let second = another_device(&first)?;
    let last = if code.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &code[..code.len() - 1]);
    failed(&second.restore(&wrong)?, 2, &["mistyped"]);
    failed(&second.restore("")?, 2, &["no Access Code"]);
    failed(&second.restore(&"x".repeat(129))?, 2, &["128"]);
    second.restore(&code)?.json()?;
    Ok(())
}

#[test]
fn nothing_is_restored_over_something_or_for_nobody() -> Result<()> {
    let town = shared()?;
    let (first, code) = backed_up(town)?;
    let before = first.wallet();
    failed(&first.restore(&code)?, 1, &["already", "--home"]);
    assert_eq!(first.wallet(), before);
    let nobody = first.on_another_device()?;
    failed(&nobody.restore(&code)?, 1, &["cloakroom trust add FILE"]);
    nobody.trust()?.json()?;
    failed(&nobody.restore(&code)?, 1, &["cloakroom account login"]);
    // Nor is anything backed up that isn't there.
    let empty = another_device(&first)?;
    failed(&empty.run(&["dip", "backup"])?, 1, &["cloakroom dip assign"]);
    assert_eq!(empty.run(&["dip", "backup", "status"])?.json()?["backup"], "none");
    empty.run(&["dip", "backup", "--remove"])?.json()?;
    Ok(())
}

#[test]
fn a_code_of_ones_own_is_strong_and_never_shown() -> Result<()> {
    let town = shared()?;
    let user = User::logged_in(town)?;
    user.assign()?.json()?;
    let own = |code: &str| user.run_with(&["dip", "backup", "--own-code"], code);
    for (weak, word) in [
        ("short", "12 characters"),
        ("password1234", "guess"),
        ("ABCDE FGHJK MNPQR STVWX", "generated"),
    ] {
        failed(&own(weak)?, 2, &[word]);
        assert_eq!(user.run(&["dip", "backup", "status"])?.json()?["backup"], "none");
    }
    let code = "eleven blue herons, none of them late";
    let made = own(code)?.json()?;
    assert_eq!((&made["backup"], &made["access_code"]), (&json!("current"), &json!(null)));
    assert!(!user.wallet().unwrap_or_default().contains("herons"));
    // The same once more is the same backup.
    assert_eq!(own(&format!("  {code}  "))?.json()?["locator"], made["locator"]);
    let second = another_device(&user)?;
    second.restore(code)?.json()?;
    Ok(())
}

/// Support resets the subscription: the backup is worth nothing, and a new address is assigned, while nobody else gets the former one.
#[test]
fn who_forgot_the_code_gets_a_reset_and_another_address() -> Result<()> {
    let town = shared()?;
    let (first, code) = backed_up(town)?;
    let ip = text(&first.run(&["dip", "status"])?.json()?, "/dedicated_ip")?;
    let lost = first.on_another_device()?;
    drop(first);
    let second = lost.who_logs_in()?;
    failed(&second.restore("something that I remember badly")?, 1, &NOTHING_OPENS);
    // Before the reset there is no second address.
    failed(&second.assign()?, 1, &[]);
    town.support("reset", &second.subscription)?;
    second.log_in()?.json()?;
    let assigned = endtoend::eventually(|| second.assign()?.json())?;
    let anew = text(&assigned, "/dedicated_ip")?;
    assert_ne!(anew, ip);
    let held = "ip_pool WHERE status = 'reserved' AND ip = ?1";
    for address in [&ip, &anew] {
        let bytes = address.parse::<std::net::Ipv4Addr>()?.octets();
        assert_eq!(Stored::by(town, "dip")?.count(held, [bytes])?, 1, "{address}");
    }
    // Whoever has the code now has a refresh token that nobody takes any more.
    let thief = another_device(&second)?;
    failed(&thief.restore(&code)?, 1, &["reset", "cloakroom dip forget --yes"]);
    thief.run(&["dip", "forget", "--yes"])?.json()?;
    // The new address has a backup of its own.
    let made = second.run(&["dip", "backup"])?.json()?;
    assert_eq!(thief.restore(&text(&made, "/access_code")?)?.json()?["dedicated_ip"], json!(anew));
    Ok(())
}

/// What is answered at a place without a backup is of one size and stays the same, and what is at one changes when it is written anew.
#[test]
fn the_service_tells_nobody_which_places_are_taken() -> Result<()> {
    let town = shared()?;
    let (first, _) = backed_up(town)?;
    let there = backup_keys(&first)?;
    let nowhere = access_code::BackupKeys::from_root(coarse::Secret::new([9; 32]))?;
    let before = [answered(town, &there)?, answered(town, &nowhere)?];
    first.run(&["dip", "backup"])?.json()?;
    assert!(answered(town, &there)? != before[0] && answered(town, &nowhere)? == before[1]);
    assert!(there.open(&before[0]).is_ok() && nowhere.open(&before[1]).is_err());
    Ok(())
}
