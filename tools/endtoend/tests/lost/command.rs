//! The program, whose conversations get lost one after the other: the same command once more goes on where it stopped.

use anyhow::Result;
use endtoend::dropping::{Dropper, Fault};
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
