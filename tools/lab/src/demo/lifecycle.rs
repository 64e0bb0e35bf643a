//! A lease's whole life, on clocks that are moved: from the assignment to the day on which its address is free again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::people::{self, Person};
use super::{DemoOptions, DemoResult, Left, Steps, Town, Zone};
use crate::knowledge::audit;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Runs it with two people: one whose payment is taken back, one whose subscription support resets.
///
/// # Errors
/// As [`demo`](super::demo()).
pub fn lifecycle(options: &DemoOptions<'_>) -> Result<DemoResult> {
    let room = tempfile::Builder::new().prefix("cloakroom-lifecycle-").tempdir()?;
    let mut steps = Steps::new(options);
    let zone = Zone { root: room.path().to_owned(), ports: options.ports, tapped: true };
    let town =
        steps.take("keys, pool and configuration", || Town::found(options.binaries, zone))?;
    let mut town = steps.take("services", || town.open())?;
    let mut people = (0..2)
        .map(|number| Ok(Person::new(&town, number)?.rehearsing(&town)))
        .collect::<Result<Vec<_>>>()?;
    let [first, other] = people.as_mut_slice() else { anyhow::bail!("two people are needed") };
    live(&mut steps, &town, first, other)?;
    let metrics = town.shown()?;
    steps.take("stop", || town.close())?;
    let known = people::known(&people, &town)?;
    let left = Left { root: room.path().to_owned() };
    let report = steps.take("audit", || audit(&known, &left.evidence(&metrics)?))?;
    Ok(DemoResult::new(steps.done, &people, report))
}

fn live(steps: &mut Steps<'_>, town: &Town, one: &mut Person, other: &mut Person) -> Result<()> {
    steps.take("day 0: assign", || {
        for person in [&mut *one, &mut *other] {
            person.trust()?;
            person.login()?;
            person.assign()?;
        }
        ensure!(pool(town, "leased")? == 2, "two addresses are leased");
        one.back_up()
    })?;
    steps.take("day 0: connect", || {
        one.connect()?;
        one.browse()
    })?;
    town.set_ahead(2 * DAY)?;
    steps.take("day 2: refresh, and the tunnel goes on", || {
        one.refresh()?;
        one.browse()
    })?;
    steps.take("day 2: second device, both at once", || {
        one.restore()?;
        one.browse()
    })?;
    let former = other.dedicated_ip()?;
    steps.take("day 2: reset, and another address", || {
        town.support("reset", other.subscription())?;
        other.login()?;
        other.is_refused(&["dip", "refresh"], "the subscription was reset")?;
        other.forget()?;
        other.assign()?;
        ensure!(other.dedicated_ip()? != former, "the former address was given again");
        other.back_up()?;
        other.connect()?;
        other.restore()?;
        other.browse()?;
        other.disconnect()
    })?;
    steps.take("day 2: refund, and a last refresh", || {
        one.refresh()?;
        town.support("refund", one.subscription())?;
        one.browse()
    })?;
    town.set_ahead(5 * DAY + DAY / 12)?;
    steps.take("day 5: no refresh any more", || one.is_refused(&["dip", "refresh"], "refunded"))?;
    town.set_ahead(8 * DAY + DAY / 12)?;
    steps.take("day 8: no tunnel any more", || {
        one.disconnect()?;
        one.is_refused(&["connect", "--proxy", "127.0.0.1:0"], "expired")
    })?;
    let leased = pool(town, "leased")?;
    ensure!(leased == 3, "{leased} addresses are leased until their refresh tokens have ended");
    // A refresh token's 60 days, a week of grace, and what rounding up to weeks adds to them.
    town.set_ahead(80 * DAY)?;
    steps.take("day 80: the leases have ended, the addresses rest", || {
        rests(town, "quarantine", 3)
    })?;
    town.set_ahead(130 * DAY)?;
    steps.take("day 130: the addresses are free", || {
        rests(town, "quarantine", 0)?;
        rests(town, "leased", 0)
    })
}

/// That so many addresses are in a state, once the DIP service has ended what has ended.
fn rests(town: &Town, state: &str, count: u64) -> Result<()> {
    town.operate_dip(&["pool", "tidy"])?;
    let found = pool(town, state)?;
    ensure!(found == count, "{found} addresses instead of {count} are in {state}");
    Ok(())
}

/// How many addresses are in a state.
fn pool(town: &Town, state: &str) -> Result<u64> {
    let status: Value = serde_json::from_str(&town.operate_dip(&["pool", "status", "--json"])?)?;
    let regions = status.get("regions").and_then(Value::as_array).context("no regions")?;
    let counts = regions.iter().map(|region| region.get(state).and_then(Value::as_u64));
    counts.sum::<Option<u64>>().context("no such state")
}
