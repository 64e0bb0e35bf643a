//! Looking at the whole pool, a slice at a time.

use std::collections::BTreeMap;

use coarse::Week;
use dip_api::operator::{
    AddressState, AddressView, Filter, GatewayName, Page, RegionStatus, RegionSurvey, Service,
    WeekCount,
};
use lease::{ExitAddress, Region};
use store::{Error, Reader, params};

use super::rows::{self, LeaseState, address, text, week};
use super::{SLICE, SqliteStore};

/// An address, and who has it.
pub(super) struct Entry {
    pub(super) address: ExitAddress,
    pub(super) region: Region,
    pub(super) gateway: GatewayName,
    pub(super) service: Service,
    quarantined: bool,
    until: Week,
    frozen: bool,
    pub(super) lease: Option<(LeaseState, Week)>,
}

impl Entry {
    fn state(&self, now: Week) -> AddressState {
        rows::state(self.quarantined, self.service, self.lease, now)
    }

    /// The week at whose start a lease or quarantine ends.
    fn until(&self) -> Option<Week> {
        match self.lease {
            Some((_, until)) => Some(until),
            None => self.quarantined.then_some(self.until),
        }
    }
}

/// The addresses after `after`, in their order: as many as one job may look at.
pub(super) fn slice(tx: &Reader<'_>, after: Option<ExitAddress>) -> Result<Vec<Entry>, Error> {
    tx.all(
        "SELECT ip, region, gateway, service, status = 'quarantine', ip_pool.until_week,
                coalesce(frozen, 0), leases.state, leases.until_week
         FROM ip_pool LEFT JOIN leases USING (ip) WHERE ip > ?1 ORDER BY ip LIMIT ?2",
        params![after.map(ExitAddress::bytes).unwrap_or_default(), SLICE],
        |row| {
            let leased = row.get_ref(7)? != rusqlite::types::ValueRef::Null;
            Ok(Entry {
                address: address(row, 0)?,
                region: text(row, 1)?,
                gateway: text(row, 2)?,
                service: text(row, 3)?,
                quarantined: row.get(4)?,
                until: week(row, 5)?,
                frozen: row.get(6)?,
                lease: if leased { Some((text(row, 7)?, week(row, 8)?)) } else { None },
            })
        },
    )
}

/// Counts of one region on the way.
struct Counts {
    status: RegionStatus,
    quarantine_ends: BTreeMap<u32, u32>,
    lease_ends: BTreeMap<u32, u32>,
    begun: BTreeMap<u32, u32>,
}

impl Counts {
    const fn new(region: Region) -> Self {
        Self {
            status: RegionStatus::empty(region),
            quarantine_ends: BTreeMap::new(),
            lease_ends: BTreeMap::new(),
            begun: BTreeMap::new(),
        }
    }

    fn add(&mut self, entry: &Entry, now: Week) {
        let status = &mut self.status;
        let (count, ends) = match entry.state(now) {
            AddressState::Available => (&mut status.available, None),
            AddressState::Reserved => (&mut status.reserved, None),
            AddressState::Leased => (&mut status.leased, Some(&mut self.lease_ends)),
            AddressState::Grace => (&mut status.grace, Some(&mut self.lease_ends)),
            AddressState::Quarantine => (&mut status.quarantine, Some(&mut self.quarantine_ends)),
            AddressState::Drained => (&mut status.drained, None),
            AddressState::Blocked => (&mut status.blocked, None),
        };
        *count += 1;
        if let (Some(ends), Some(until)) = (ends, entry.until()) {
            *ends.entry(until.number()).or_default() += 1;
        }
        if entry.lease.is_some() && entry.service != Service::Open {
            status.withdrawing += 1;
        }
    }

    fn survey(self) -> RegionSurvey {
        let counts = |weeks: BTreeMap<u32, u32>| {
            let count = |(week, count)| WeekCount { week: Week::new(week), count };
            weeks.into_iter().map(count).collect()
        };
        RegionSurvey {
            status: self.status,
            quarantine_ends: counts(self.quarantine_ends),
            lease_ends: counts(self.lease_ends),
            begun: counts(self.begun),
        }
    }
}

/// Counts of all regions, by name.
#[derive(Default)]
struct ByRegion(BTreeMap<String, Counts>);

impl ByRegion {
    fn of(&mut self, region: Region) -> &mut Counts {
        let name = region.as_str().to_owned();
        self.0.entry(name).or_insert_with(|| Counts::new(region))
    }
}

impl SqliteStore {
    pub(super) async fn count_all(&self, now: Week) -> Result<Vec<RegionSurvey>, Error> {
        let known = |tx: &Reader<'_>| {
            let regions = tx.all("SELECT name FROM regions", [], |row| text::<Region>(row, 0))?;
            let sql = "SELECT region, week, leased FROM demand";
            let demand =
                tx.all(sql, [], |row| Ok((text::<Region>(row, 0)?, row.get(1)?, row.get(2)?)))?;
            Ok::<_, Error>((regions, demand))
        };
        let (regions, demand) = self.database.read("regions", known).await?;
        let mut counts = ByRegion::default();
        for region in regions {
            counts.of(region);
        }
        for (region, week, leased) in demand {
            counts.of(region).begun.insert(week, leased);
        }
        let mut after = None;
        loop {
            let entries = self.database.read("survey", move |tx| slice(tx, after)).await?;
            let Some(last) = entries.last() else { break };
            after = Some(last.address);
            for entry in entries {
                counts.of(entry.region.clone()).add(&entry, now);
            }
        }
        Ok(counts.0.into_values().map(Counts::survey).collect())
    }

    pub(super) async fn list(&self, filter: Filter, now: Week, most: usize) -> Result<Page, Error> {
        let mut page = Page { addresses: Vec::new(), next: None };
        let mut after = filter.after;
        loop {
            let entries = self.database.read("list", move |tx| slice(tx, after)).await?;
            let Some(last) = entries.last() else { return Ok(page) };
            after = Some(last.address);
            for entry in entries {
                let state = entry.state(now);
                let passes = filter.region.as_ref().is_none_or(|region| *region == entry.region)
                    && filter.gateway.as_ref().is_none_or(|gateway| *gateway == entry.gateway)
                    && filter.state.is_none_or(|wanted| wanted == state);
                if !passes {
                    continue;
                }
                if page.addresses.len() == most {
                    page.next = page.addresses.last().map(|view| view.address);
                    return Ok(page);
                }
                page.addresses.push(AddressView {
                    address: entry.address,
                    state,
                    service: entry.service,
                    until_week: entry.until(),
                    frozen: entry.frozen,
                    region: entry.region,
                    gateway: entry.gateway,
                });
            }
        }
    }
}
