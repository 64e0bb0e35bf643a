//! When a region runs out of addresses: arithmetic on counts.
//!
//! **What is assumed.** Demand goes on as it was: each week, this one too, as many addresses are assigned as on average in the recent
//! weeks that are given, whatever the region had to offer then. Whoever finds none goes away and doesn't come back. Nobody adds addresses, and what is
//! drained or blocked stays so. What is reserved becomes a lease. What is assigned from now on is held throughout: a lease lasts for
//! some ten weeks even if nobody ever refreshes it.
//!
//! Two cases bound what will be, as far as that holds:
//! - *pessimistic*: every lease is refreshed, those in grace too. Only what is in quarantine already comes back.
//! - *optimistic*: no lease is refreshed any more. Each ends in its week, is in quarantine for as many weeks as that takes, and then comes back.

use std::collections::BTreeMap;

use coarse::Week;
use serde::{Deserialize, Serialize};

/// The furthest that a forecast looks: ten years.
pub const MOST_WEEKS: u32 = 520;

/// How many addresses of a region are in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// To be had.
    pub available: u64,
    /// Reserved by a token, without a grant so far.
    pub reserved: u64,
    /// Leased, and not in grace.
    pub leased: u64,
    /// Leased still, though the refresh token has ended.
    pub grace: u64,
    /// In quarantine, by the week at whose start that ends.
    pub quarantine_by_week: BTreeMap<Week, u64>,
    /// Leases, those in grace too, by the week at whose start they end unless they are refreshed.
    pub lease_end_by_week: BTreeMap<Week, u64>,
    /// Not assigned any more.
    pub drained: u64,
    /// Taken out of use.
    pub blocked: u64,
}

impl Counts {
    /// How many addresses the region has in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { available, reserved, leased, grace, drained, blocked, .. } = self;
        let quarantined = self.quarantine_by_week.values();
        [available, reserved, leased, grace, drained, blocked]
            .into_iter()
            .chain(quarantined)
            .fold(0, |sum: u64, count| sum.saturating_add(*count))
    }
}

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The present week.
    pub now: Week,
    /// How many weeks, with the present one; [`MOST_WEEKS`] at most.
    pub weeks: u32,
    /// For how many weeks nobody gets an address whose lease ended.
    pub quarantine: u32,
}

impl Horizon {
    /// Twelve weeks from `now`, with a quarantine of this many weeks.
    #[must_use]
    pub const fn usual(now: Week, quarantine: u32) -> Self {
        Self { now, weeks: 12, quarantine }
    }
}

/// What may become of a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// How many addresses are assigned each week, rounded up.
    pub weekly_demand: u64,
    /// If every lease is refreshed.
    pub pessimistic: Outlook,
    /// If no lease is refreshed.
    pub optimistic: Outlook,
}

/// A region's next weeks, in one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// Each week, the present one first.
    pub weeks: Vec<WeekAhead>,
    /// The first week in which the last address goes: at its end there is none. `None` when there is one to the end of all these weeks.
    pub runs_out: Option<Week>,
}

/// A week, in one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WeekAhead {
    /// The week.
    pub week: Week,
    /// How many addresses are to be had at its start, with those that come back then.
    pub available: u64,
    /// How many people find none in its course.
    pub unmet: u64,
}

/// What may become of a region that has these counts, and in which so many addresses were assigned in `recent` weeks, in any order. Without
/// recent weeks there is no demand.
#[must_use]
pub fn forecast(counts: &Counts, recent: &[u64], horizon: Horizon) -> Forecast {
    let demand = Demand::new(recent);
    let mut back = counts.quarantine_by_week.clone();
    let pessimistic = outlook(counts.available, &back, &demand, horizon);
    for (ends, count) in &counts.lease_end_by_week {
        // What has ended already goes to quarantine now.
        let ends = (*ends).max(horizon.now).number();
        let free = back.entry(Week::new(ends.saturating_add(horizon.quarantine))).or_default();
        *free = free.saturating_add(*count);
    }
    let optimistic = outlook(counts.available, &back, &demand, horizon);
    Forecast { weekly_demand: demand.until(1), pessimistic, optimistic }
}

/// The weeks from now on when so many addresses come back at the start of which week.
fn outlook(
    available: u64,
    back: &BTreeMap<Week, u64>,
    demand: &Demand,
    horizon: Horizon,
) -> Outlook {
    let returning = |from: u32, to: u32| {
        let weeks = back.range(Week::new(from)..=Week::new(to));
        weeks.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    };
    let now = horizon.now.number();
    // What was due before now and still isn't back comes now.
    let mut left = available.saturating_add(returning(0, now));
    let mut outlook = Outlook { weeks: Vec::new(), runs_out: None };
    for ahead in 0..horizon.weeks.min(MOST_WEEKS) {
        let Some(number) = now.checked_add(ahead) else { break };
        if ahead > 0 {
            left = left.saturating_add(returning(number, number));
        }
        let week = Week::new(number);
        let wanted = demand.until(ahead + 1).saturating_sub(demand.until(ahead));
        let unmet = wanted.saturating_sub(left);
        outlook.weeks.push(WeekAhead { week, available: left, unmet });
        left = left.saturating_sub(wanted);
        if left == 0 && outlook.runs_out.is_none() {
            outlook.runs_out = Some(week);
        }
    }
    outlook
}

/// An average, kept as a fraction so that nothing is lost to rounding.
struct Demand {
    sum: u128,
    weeks: u128,
}

impl Demand {
    fn new(recent: &[u64]) -> Self {
        let sum = recent.iter().map(|count| u128::from(*count)).sum();
        Self { sum, weeks: recent.len().max(1) as u128 }
    }

    /// How many are assigned in the first so many weeks, rounded up.
    fn until(&self, weeks: u32) -> u64 {
        let all = self.sum.saturating_mul(weeks.into()).div_ceil(self.weeks);
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    const NOW: Week = Week::new(2968);

    fn ahead(weeks: u32) -> Week {
        Week::new(NOW.number() + weeks)
    }

    fn by_week<const N: usize>(counts: [(u32, u64); N]) -> BTreeMap<Week, u64> {
        counts.map(|(weeks, count)| (ahead(weeks), count)).into()
    }

    fn available(outlook: &Outlook) -> Vec<u64> {
        outlook.weeks.iter().map(|week| week.available).collect()
    }

    #[test]
    fn demand_takes_what_comes_back_adds() {
        let counts = Counts {
            available: 10,
            leased: 30,
            quarantine_by_week: by_week([(1, 2), (3, 4)]),
            lease_end_by_week: by_week([(0, 5), (1, 7), (9, 18)]),
            ..Counts::default()
        };
        // 2.5 a week: 3, 2, 3, 2, ..
        let horizon = Horizon { now: NOW, weeks: 8, quarantine: 4 };
        let told = forecast(&counts, &[3, 2, 0, 5], horizon);
        assert_eq!(told.weekly_demand, 3);
        assert_eq!(available(&told.pessimistic), [10, 9, 7, 8, 6, 3, 1, 0]);
        let unmet: Vec<_> = told.pessimistic.weeks.iter().map(|week| week.unmet).collect();
        assert_eq!(unmet, [0, 0, 0, 0, 0, 0, 2, 2]);
        assert_eq!(told.pessimistic.runs_out, Some(ahead(6)));
        // The same, and five more after four weeks, seven more after five.
        assert_eq!(available(&told.optimistic), [10, 9, 7, 8, 11, 15, 13, 10]);
        assert_eq!(told.optimistic.runs_out, None);
        assert_eq!(told.optimistic.weeks[7].week, ahead(7));
    }

    #[test]
    fn the_last_address_goes_in_the_week_that_is_told() {
        let told = |available, recent: &[u64]| {
            let counts = Counts { available, ..Counts::default() };
            forecast(&counts, recent, Horizon::usual(NOW, 4)).pessimistic.runs_out
        };
        assert_eq!(told(0, &[]), Some(NOW));
        assert_eq!(told(1, &[]), None);
        assert_eq!(told(1, &[1]), Some(NOW));
        assert_eq!(told(12, &[1]), Some(ahead(11)));
        assert_eq!(told(13, &[1]), None);
        assert_eq!(told(1, &[0, 0, 0, 1]), Some(NOW), "whoever comes may come this week");
    }

    #[test]
    fn what_is_overdue_comes_back_now() {
        let counts = Counts {
            quarantine_by_week: [(ahead(0), 1), (Week::new(1), 2)].into(),
            lease_end_by_week: [(Week::new(1), 4)].into(),
            ..Counts::default()
        };
        let told = forecast(&counts, &[], Horizon { now: NOW, weeks: 3, quarantine: 2 });
        assert_eq!(available(&told.pessimistic), [3, 3, 3]);
        assert_eq!(available(&told.optimistic), [3, 3, 7]);
    }

    #[test]
    fn all_states_count_once_in_the_total() {
        let counts = Counts {
            available: 1,
            reserved: 2,
            leased: 4,
            grace: 8,
            quarantine_by_week: by_week([(0, 16), (1, 32)]),
            lease_end_by_week: by_week([(1, 12)]),
            drained: 64,
            blocked: 128,
        };
        assert_eq!(counts.total(), 255);
        let json = serde_json::to_string(&counts).unwrap();
        assert_eq!(serde_json::from_str::<Counts>(&json).unwrap(), counts);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made_up(
            available in 0u64..200,
            quarantine in btree_map((0u32..20).prop_map(ahead), 0u64..20, 0..6),
            ends in btree_map((0u32..20).prop_map(ahead), 0u64..20, 0..6),
            recent in vec(0u64..30, 0..6),
            weeks in 1u32..30,
        ) {
            let counts = Counts {
                available,
                quarantine_by_week: quarantine.clone(),
                lease_end_by_week: ends.clone(),
                ..Counts::default()
            };
            let horizon = Horizon { now: NOW, weeks, quarantine: 4 };
            let told = forecast(&counts, &recent, horizon);
            let last = weeks - 1;
            let sum = |counts: &BTreeMap<Week, u64>, later: u32| -> u64 {
                counts.iter().filter(|(week, _)| week.number() + later <= NOW.number() + last).map(|(_, count)| count).sum()
            };
            let demand: u64 = recent.iter().sum();
            let demand = (demand * u64::from(last)).div_ceil(recent.len().max(1) as u64);
            for (outlook, back) in [
                (&told.pessimistic, sum(&quarantine, 0)),
                (&told.optimistic, sum(&quarantine, 0) + sum(&ends, 4)),
            ] {
                prop_assert_eq!(outlook.weeks.len(), weeks as usize);
                let (end, before) = outlook.weeks.split_last().unwrap();
                let unmet: u64 = before.iter().map(|week| week.unmet).sum();
                prop_assert_eq!(end.available + demand, available + back + unmet);
                let first = outlook.weeks.iter().find(|week| week.unmet > 0).map(|week| week.week);
                prop_assert!(first.is_none() || outlook.runs_out.is_some_and(|week| Some(week) <= first));
            }
            for (low, high) in told.pessimistic.weeks.iter().zip(&told.optimistic.weeks) {
                prop_assert!(low.available <= high.available && low.unmet >= high.unmet);
            }
        }

        #[test]
        fn no_counts_overflow(available: u64, count: u64, week: u32, now: u32, quarantine: u32, weeks: u32) {
            let counts = Counts {
                available,
                leased: count,
                quarantine_by_week: [(Week::new(week), count)].into(),
                lease_end_by_week: [(Week::new(now), count), (Week::new(u32::MAX), count)].into(),
                ..Counts::default()
            };
            let horizon = Horizon { now: Week::new(now), weeks, quarantine };
            let told = forecast(&counts, &[u64::MAX, count], horizon);
            prop_assert!(told.pessimistic.weeks.len() <= MOST_WEEKS as usize);
            let _ = counts.total();
        }
    }
}
