//! The program, whose conversations get lost one after the other: the same command once more goes on where it stopped.

use anyhow::Result;
use endtoend::dropping::{Dropper, Fault};
use endtoend::evidence::Stored;
use endtoend::program::{Ran, User};
use serde_json::Value;

use crate::street::Street;

/// A conversation of the program's: with whom, and how many others with the same service come before it.
type Talk = (&'static str, fn(&Street) -> &Dropper, usize);

const ASSIGNING: [Talk; 4] = [
    ("the key", |street| &street.issuer, 0),
    ("the blind signature", |street| &street.issuer, 1),
    ("the attestation", |street| &street.parent, 0),
    ("the address", |street| &street.dip, 0),
];
const REFRESHING: [Talk; 2] =
    [("the attestation", |street| &street.parent, 0), ("the refresh", |street| &street.dip, 0)];

/// The command fails once, says what to do, and succeeds when it is done.
fn again(
    street: &Street,
    (what, struck, before): Talk,
    fault: Fault,
    command: impl Fn() -> Result<Ran>,
) -> Result<Value> {
    let count = struck(street).struck();
    struck(street).strike_after(before, fault);
    let lost = command()?;
    assert_eq!(lost.status, 1, "{what}, {fault:?}: {}", lost.out);
    assert_eq!(struck(street).struck(), count + 1, "{what}, {fault:?}");
    assert!(lost.err.contains("give the same command again"), "{what}, {fault:?}: {}", lost.err);
    command()?.json()
}

fn seed(user: &User) -> Option<Value> {
    let wallet: Value = serde_json::from_str(&user.wallet()?).ok()?;
    let states = ["/dip/drawing/seed", "/dip/drawn/seed", "/dip/leased/drawn/seed"];
    states.iter().find_map(|state| wallet.pointer(state).cloned())
}

#[test]
fn the_same_command_goes_on_where_it_was_lost() -> Result<()> {
    let street = Street::open()?;
    let mut count = 0;
    for fault in Fault::ALL {
        for talk in ASSIGNING {
            let user = street.user()?;
            let login = ("login", (|street| &street.accounts) as fn(&Street) -> &Dropper, 0);
            again(&street, login, fault, || user.log_in())?;
            let leased = again(&street, talk, fault, || user.assign())?;
            assert_eq!(leased["state"], "leased");
            // What was drawn last is what was drawn first.
            assert!(seed(&user).is_some());
            assert_eq!(user.assign()?.json()?, leased);
            for talk in REFRESHING {
                let refreshed = again(&street, talk, fault, || user.run(&["dip", "refresh"]))?;
                assert_eq!(refreshed["dedicated_ip"], leased["dedicated_ip"]);
                assert_eq!(refreshed["lease"], leased["lease"]);
            }
            count += 1;
        }
    }
    street.assert_leases(count)
}

/// Backing up, changing the code and restoring: whatever gets lost, there is one backup, and its code was shown.
#[test]
fn a_backup_that_was_lost_on_the_way_is_made_by_the_same_command() -> Result<()> {
    let street = Street::open()?;
    let backup = |street: &Street| Stored::by(&street.scene, "backup")?.count("backups", []);
    for (number, fault) in (1..).zip(Fault::ALL) {
        let first = street.user()?;
        first.log_in()?.json()?;
        let leased = first.assign()?.json()?;
        let write: Talk = ("the backup", |street| &street.backup, 0);
        let made = again(&street, write, fault, || first.run(&["dip", "backup"]))?;
        assert!(made["access_code"].is_string());
        let anew = again(&street, write, fault, || first.run(&["dip", "backup", "--new-code"]))?;
        assert_ne!(anew["access_code"], made["access_code"]);
        assert_eq!(backup(&street)?, number, "{fault:?}: the former one is still there");
        let code = anew["access_code"].as_str().unwrap_or_default();
        let second = first.on_another_device()?;
        second.trust()?.json()?;
        second.log_in()?.json()?;
        for talk in [("the backup", write.1, 0), REFRESHING[0], REFRESHING[1]] {
            fails_to_restore(&street, &second, talk, fault, code)?;
        }
        let restored = second.restore(code)?.json()?;
        assert_eq!(restored["lease"], leased["lease"]);
        // A removal that is lost is made up for with the next backup.
        street.backup.strike_after(1, fault);
        let changed = first.run(&["dip", "backup", "--new-code"])?;
        assert!(changed.err.contains("still there"), "{}", changed.err);
        changed.json()?;
        first.run(&["dip", "backup"])?.json()?;
        assert_eq!(backup(&street)?, number);
    }
    street.assert_leases(3)
}

/// A restore that fails at this conversation, and says to repeat it.
fn fails_to_restore(
    street: &Street,
    device: &User,
    (what, struck, before): Talk,
    fault: Fault,
    code: &str,
) -> Result<()> {
    struck(street).strike_after(before, fault);
    let lost = device.restore(code)?;
    assert_eq!(lost.status, 1, "{what}, {fault:?}: {}", lost.out);
    assert!(lost.err.contains("give the same command again"), "{what}, {fault:?}: {}", lost.err);
    Ok(())
}

#[test]
fn whatever_is_lost_the_seed_is_kept() -> Result<()> {
    let street = Street::open()?;
    let user = street.user()?;
    user.log_in()?.json()?;
    // The signature gets lost again and again, then the attestation, then the address.
    let mut seeds = Vec::new();
    for (what, struck, before) in ASSIGNING {
        for fault in Fault::ALL {
            // The key is fetched once; afterwards the signature is the first that is asked for.
            let before = if seeds.is_empty() { before } else { 0 };
            struck(&street).strike_after(before, fault);
            let lost = user.assign()?;
            assert_eq!(lost.status, 1, "{what}, {fault:?}: {}", lost.out);
            seeds.extend(seed(&user));
        }
    }
    assert_eq!(seeds.len(), 3 * ASSIGNING.len() - 3);
    assert!(seeds.iter().all(|seed| *seed == seeds[0]));
    user.assign()?.json()?;
    street.assert_leases(1)
}
