//! Reservations, leases and their lengthening.

use coarse::{Epoch, Week, system_rng};
use dip_api::operator::Service;
use encoding::Base64Url;
use epoch_keys::{Proof, PublishedKey, Purpose};
use lease::{ExitAddress, LeaseId, Region};
use privacy_pass::SpendHash;
use rand_core::CryptoRng;
use store::{Error, Reader, Writer, params};

use super::rows::{self, Lease, LeaseState, address, lease_id, parsed, text, week};
use super::{SqliteStore, tidying};
use crate::store::{
    Assignment, Committed, DipStore, Held, Replay, Replayed, Reservation, Standing, Wish,
};

impl DipStore for SqliteStore {
    async fn reserve(&self, wish: Wish) -> Result<Reservation, Error> {
        let reserve = move |tx: &Writer<'_>| reserve(tx, &wish, &mut system_rng());
        self.database.write("reserve", reserve).await
    }

    async fn commit(&self, assignment: Assignment) -> Result<Committed, Error> {
        self.database.write("commit", move |tx: &Writer<'_>| commit(tx, &assignment)).await
    }

    async fn standing(&self, lease: LeaseId, now: Week) -> Result<Standing, Error> {
        let look = move |tx: &Reader<'_>| {
            Ok(match rows::lease(tx, lease)? {
                None | Some(Lease { state: LeaseState::Reserved, .. }) => Standing::Unknown,
                Some(lease) if lease.ended(now) => Standing::Ended,
                Some(Lease { service: Service::Blocked, .. }) => Standing::Withdrawn,
                Some(Lease { held, .. }) => Standing::Leased(held),
            })
        };
        self.database.read("standing", look).await
    }

    async fn extend(&self, lease: LeaseId, ends: Week) -> Result<bool, Error> {
        // Most refreshes find the lease as long as they would make it: an end is a week's.
        let long_enough = move |tx: &Reader<'_>| {
            tx.optional(
                "SELECT 1 FROM leases WHERE lease = ?1 AND state = 'leased' AND until_week >= ?2",
                params![lease.bytes(), ends.number()],
                |_| Ok(()),
            )
        };
        if self.database.read("extend", long_enough).await?.is_some() {
            return Ok(true);
        }
        let extend = move |tx: &Writer<'_>| {
            let changed = tx.execute(
                "UPDATE leases SET until_week = max(until_week, ?2)
                 WHERE lease = ?1 AND state = 'leased'",
                params![lease.bytes(), ends.number()],
            )?;
            Ok(changed == 1)
        };
        self.database.write("extend", extend).await
    }

    async fn release(&self, lease: LeaseId, ends: Week) -> Result<bool, Error> {
        let release = move |tx: &Writer<'_>| {
            let changed = tx.execute(
                "UPDATE leases SET state = 'ending', until_week = min(until_week, ?2)
                 WHERE lease = ?1 AND state IN ('leased', 'ending')",
                params![lease.bytes(), ends.number()],
            )?;
            Ok(changed == 1)
        };
        self.database.write("release", release).await
    }

    async fn tidy(&self, now: Week, quarantine: Week) -> Result<bool, Error> {
        let tidy = move |tx: &Writer<'_>| tidying::tidy(tx, now, quarantine, &mut system_rng());
        self.database.write("tidy", tidy).await
    }

    async fn regions(&self) -> Result<Vec<Region>, Error> {
        // From each region straight to the next: a plain DISTINCT looks at every address.
        let sql = "WITH RECURSIVE found (region) AS (
                SELECT min(region) FROM ip_pool WHERE status = 'available' AND service = 'open'
                UNION ALL
                SELECT (SELECT min(region) FROM ip_pool
                        WHERE region > found.region AND status = 'available' AND service = 'open')
                FROM found WHERE region IS NOT NULL
            )
            SELECT region FROM found WHERE region IS NOT NULL";
        self.database.read("regions", move |tx| tx.all(sql, [], |row| text(row, 0))).await
    }

    async fn token_keys(&self) -> Result<Vec<PublishedKey>, Error> {
        let sql = "SELECT epoch, public_key, proof FROM token_keys ORDER BY epoch";
        let load = move |tx: &Reader<'_>| {
            tx.all(sql, [], |row| {
                let proof = row.get_ref(2)?.as_blob()?;
                Ok(PublishedKey {
                    purpose: Purpose::DedicatedIp,
                    epoch: Epoch::new(row.get(0)?),
                    public_key: Base64Url(row.get(1)?),
                    proof: parsed(2, Proof::from_bytes(proof))?,
                })
            })
        };
        self.database.read("token keys", load).await
    }

    async fn count_demand(&self, begun: Vec<(Region, Week, u32)>) -> Result<(), Error> {
        let count = move |tx: &Writer<'_>| {
            for (region, week, leased) in &begun {
                tx.execute(
                    "INSERT INTO demand (region, week, leased) VALUES (?1, ?2, ?3)
                     ON CONFLICT (region, week) DO UPDATE SET leased = leased + ?3",
                    params![region.as_str(), week.number(), leased],
                )?;
            }
            Ok(())
        };
        self.database.write("count demand", count).await
    }

    async fn leases(&self, after: Option<LeaseId>, most: usize) -> Result<Vec<Replayed>, Error> {
        let after = after.map(|lease| lease.bytes().to_vec()).unwrap_or_default();
        let sql = "SELECT token_hash, coalesce(assignments.until_week, 0), leases.lease, ip,
                leases.until_week, state = 'ending'
             FROM leases LEFT JOIN assignments USING (lease)
             WHERE leases.lease > ?1 AND state <> 'reserved' ORDER BY leases.lease LIMIT ?2";
        let load = move |tx: &Reader<'_>| {
            tx.all(sql, params![after, most], |row| {
                Ok(Replayed {
                    token: row.get::<_, Option<[u8; 32]>>(0)?.map(SpendHash::from_bytes),
                    until: week(row, 1)?,
                    lease: lease_id(row, 2)?,
                    address: address(row, 3)?,
                    ends: week(row, 4)?,
                    ending: row.get(5)?,
                })
            })
        };
        self.database.read("leases", load).await
    }

    async fn replay(&self, leases: Vec<Replayed>, now: Week) -> Result<Replay, Error> {
        let replay = move |tx: &Writer<'_>| tidying::replay(tx, &leases, now);
        self.database.write("replay", replay).await
    }
}

impl Lease {
    fn ended(&self, now: Week) -> bool {
        self.state == LeaseState::Ending || self.held.ends <= now
    }
}

fn reserve(tx: &Writer<'_>, wish: &Wish, rng: &mut impl CryptoRng) -> Result<Reservation, Error> {
    let known = tx.optional(
        "SELECT lease FROM assignments WHERE token_hash = ?1",
        params![wish.token.as_bytes()],
        |row| lease_id(row, 0),
    )?;
    let Some(lease) = known else { return reserve_new(tx, wish, rng) };
    match rows::lease(tx, lease)? {
        None | Some(Lease { state: LeaseState::Ending, .. }) => Ok(Reservation::Ended),
        Some(Lease { service: Service::Blocked, state: LeaseState::Reserved, held }) => {
            reserve_another(tx, held, rng)
        }
        Some(Lease { service: Service::Blocked, .. }) => Ok(Reservation::Withdrawn),
        Some(Lease { held, .. }) => Ok(Reservation::Held(held)),
    }
}

fn reserve_new(
    tx: &Writer<'_>,
    wish: &Wish,
    rng: &mut impl CryptoRng,
) -> Result<Reservation, Error> {
    let Some(ip) = draw(tx, &wish.region, rng)? else {
        let sql = "SELECT EXISTS (SELECT 1 FROM regions WHERE name = ?1)";
        let known = tx.row(sql, params![wish.region.as_str()], |row| row.get(0))?;
        return Ok(if known { Reservation::Exhausted } else { Reservation::UnknownRegion });
    };
    tx.execute(
        "INSERT INTO leases (lease, ip, state, until_week, frozen)
         VALUES (?1, ?2, 'reserved', ?3, 0)",
        params![wish.lease.bytes(), ip.bytes(), wish.until.number()],
    )?;
    tx.execute(
        "INSERT INTO assignments (token_hash, lease, until_week) VALUES (?1, ?2, ?3)",
        params![wish.token.as_bytes(), wish.lease.bytes(), wish.until.number()],
    )?;
    reserved(tx, wish.lease)
}

/// The address was withdrawn before anybody was granted it: the reservation moves to another one.
fn reserve_another(
    tx: &Writer<'_>,
    held: Held,
    rng: &mut impl CryptoRng,
) -> Result<Reservation, Error> {
    let Some(ip) = draw(tx, &held.region, rng)? else { return Ok(Reservation::Exhausted) };
    tidying::make_available(tx, held.address, rng)?;
    tx.execute(
        "UPDATE leases SET ip = ?2 WHERE lease = ?1",
        params![held.lease.bytes(), ip.bytes()],
    )?;
    reserved(tx, held.lease)
}

fn reserved(tx: &Reader<'_>, lease: LeaseId) -> Result<Reservation, Error> {
    Ok(rows::lease(tx, lease)?.map_or(Reservation::Ended, |lease| Reservation::Held(lease.held)))
}

/// Takes an available address of the region: the first one from a random place on.
fn draw(
    tx: &Writer<'_>,
    region: &Region,
    rng: &mut impl CryptoRng,
) -> Result<Option<ExitAddress>, Error> {
    const ON: &str = "SELECT ip FROM ip_pool
        WHERE region = ?1 AND status = 'available' AND service = 'open' AND place >= ?2
        ORDER BY place LIMIT 1";
    let mut found = None;
    for place in [rng.next_u64().cast_signed(), i64::MIN] {
        found = tx.optional(ON, params![region.as_str(), place], |row| address(row, 0))?;
        if found.is_some() {
            break;
        }
    }
    if let Some(ip) = &found {
        tx.execute("UPDATE ip_pool SET status = 'reserved' WHERE ip = ?1", params![ip.bytes()])?;
    }
    Ok(found)
}

fn commit(tx: &Writer<'_>, assignment: &Assignment) -> Result<Committed, Error> {
    let (lease, ip) = (assignment.lease.bytes(), assignment.address.bytes());
    let state = tx.optional(
        "SELECT state, service FROM leases JOIN ip_pool USING (ip) WHERE lease = ?2 AND ip = ?3
         AND EXISTS (SELECT 1 FROM assignments WHERE token_hash = ?1 AND lease = ?2)",
        params![assignment.token.as_bytes(), lease, ip],
        |row| Ok((text::<LeaseState>(row, 0)?, text::<Service>(row, 1)?)),
    )?;
    match state {
        None | Some((LeaseState::Ending, _) | (LeaseState::Reserved, Service::Blocked)) => {
            Ok(Committed::Gone)
        }
        Some((LeaseState::Reserved, _)) => {
            tx.execute(
                "UPDATE leases SET state = 'leased', until_week = ?2 WHERE lease = ?1",
                params![lease, assignment.ends.number()],
            )?;
            Ok(Committed::Begun)
        }
        Some((LeaseState::Leased, _)) => {
            tx.execute(
                "UPDATE leases SET until_week = max(until_week, ?2) WHERE lease = ?1",
                params![lease, assignment.ends.number()],
            )?;
            Ok(Committed::Again)
        }
    }
}
