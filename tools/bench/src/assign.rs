//! Whole assignments: from a subscription receipt in hand to verified tokens for an address.
//!
//! In it, as the client's own session does it: fetch this week's key and verify its proof, blind, have signed, unblind and
//! verify; have the enclave attest and verify that; seal; have an address assigned; open the answer and verify the tokens.
//! Not in it: logging in before, the tunnel after, and the random wait between drawing and assigning.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::{Binaries, Ports, Town, Zone};

use crate::crowd;
use crate::machine::{of_other, of_process};
use crate::note;
use crate::primitives::{self, ATTESTATION, COUNTS, Sums};
use crate::report::Row;

/// 65,534 addresses.
const POOL: &str = "127.80.0.0/16";
/// People who are served at once.
const AT_ONCE: usize = 32;
/// People who come one by one, and people before them.
const ALONE: usize = 200;
const WARM_UP: usize = 20;
/// How many people a second are made ready: more than two cores serve.
const MOST_A_SECOND: u64 = 1500;

/// Measures assignments with a fresh attestation each, and with one that was verified at most five minutes ago.
pub(crate) async fn run(length: Duration) -> Result<Vec<Row>> {
    let room = tempfile::Builder::new().prefix("cloakroom-bench-").tempdir()?;
    // People's disks aren't the provider's: their wallets are kept in memory where that can be.
    let shared_memory = Path::new("/dev/shm");
    let homes = if shared_memory.is_dir() {
        tempfile::Builder::new().prefix("cloakroom-bench-").tempdir_in(shared_memory)?
    } else {
        tempfile::Builder::new().prefix("cloakroom-bench-").tempdir()?
    };
    note("starting every service");
    let zone = Zone { root: room.path().to_owned(), ports: Ports::Free, tapped: false };
    let town = Town::found(&Binaries::beside_this()?, zone)?
        .with_pool(POOL)
        .with_rate_factor(100)
        .open()?;
    let mut bench = Bench { town, homes: homes.path(), people: 0, length };
    let mut rows = Vec::new();
    for fresh in [true, false] {
        rows.extend(bench.measure(fresh).await?);
    }
    bench.town.close()?;
    Ok(rows)
}

struct Bench<'a> {
    town: Town,
    homes: &'a Path,
    people: usize,
    length: Duration,
}

impl Bench<'_> {
    async fn measure(&mut self, fresh: bool) -> Result<Vec<Row>> {
        let (what, raw) = if fresh {
            ("a fresh attestation each", format!("{COUNTS}; {ATTESTATION}"))
        } else {
            ("an attestation not older than five minutes", COUNTS.to_owned())
        };
        note(&format!("assigning with {what}: one at a time"));
        crowd::assign(self.people(WARM_UP, fresh).await?, 1).await?;
        let alone = crowd::assign(self.people(ALONE, fresh).await?, 1).await?;
        let median = alone.get(alone.len() / 2).context("nobody was served")?;

        let count = usize::try_from(MOST_A_SECOND * self.length.as_secs().max(1))?.min(25_000);
        note(&format!("making {count} people ready"));
        let people = self.people(count, fresh).await?;
        note(&format!("assigning with {what}: {AT_ONCE} at a time"));
        let sums = [primitives::measure()?, primitives::measure()?];
        let sums = sums.map(|Sums { assignment, attestation }| {
            assignment + if fresh { attestation } else { 0.0 }
        });
        let raw_ms = crate::machine::mean(&sums);
        let (begun, before) = (Instant::now(), self.cpu()?);
        let served = crowd::assign(people, AT_ONCE).await?.len();
        let (took, used) = (begun.elapsed(), self.cpu()? - before);
        let (n, cores) = (served as u64, std::thread::available_parallelism()?.get() as f64);
        let raw = format!("the primitives alone: {raw}");
        let both = "everything and everybody on this machine";
        Ok(vec![
            Row::time(
                format!("assignment, {what}, alone on this machine: median"),
                "ms",
                median.as_secs_f64() * 1000.0,
                (raw.clone(), raw_ms),
                alone.len() as u64,
            ),
            Row::rate(
                format!("assignments, {what}: {both}"),
                "1/s",
                served as f64 / took.as_secs_f64(),
                (format!("{raw}, on all cores"), cores * 1000.0 / raw_ms),
                n,
            ),
            Row::time(
                format!("assignment, {what}: CPU time of clients, services and enclave"),
                "ms",
                used.as_secs_f64() * 1000.0 / served as f64,
                (raw, raw_ms),
                n,
            ),
        ])
    }

    /// New people, logged in; with an attestation that one of them had verified, unless each gets a fresh one.
    async fn people(&mut self, count: usize, fresh: bool) -> Result<Vec<session::Session>> {
        let homes = self.homes.join(format!("from-{}", self.people));
        self.people += count;
        let mut people = crowd::logged_in(&self.town, &homes, count).await?;
        if !fresh && let Some((first, others)) = people.split_first_mut() {
            let held = first.attestation().await?;
            others.iter_mut().for_each(|other| other.reuse(held.clone()));
        }
        Ok(people)
    }

    /// The CPU time of all services and of this process, which is everybody's client.
    fn cpu(&self) -> Result<Duration> {
        let services = self.town.processes().map(|(_, process)| of_other(process));
        let enclave = self.town.processes().filter(|(name, _)| *name == "nsm");
        let enclave = enclave.flat_map(|(_, process)| children(process)).map(of_other);
        Ok(of_process()? + services.chain(enclave).sum::<Result<Duration>>()?)
    }
}

/// A process's children.
fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
