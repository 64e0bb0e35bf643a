//! When a device keeps what it holds fresh: by dice, and by nothing that a service sees.
//!
//! Accounts sees when a receipt is fetched, the DIP service when a lease is refreshed, the backup service when a backup is rewritten. If one
//! followed from another, or all from one clock, their times alone would pair a subscription with an address. So each has a schedule of its
//! own, drawn anew each time; receipts and refreshes keep hours apart; and what failed is tried again after a pause that is drawn, too.

use std::time::Duration;

use coarse::UnixTime;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// What is to be done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// Fetch a subscription receipt. It is good for three days at most.
    Receipt,
    /// Refresh the lease. Its access token is good for three days.
    Refresh,
    /// Write the new refresh token to the backup, if there is one.
    Backup,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Receipt, Self::Refresh, Self::Backup];

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Refresh => "refresh",
            Self::Backup => "backup",
        }
    }
}

/// How a try went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// A refresh that lacks a good receipt: it waits until one was fetched, and then for hours.
    NoReceipt,
    /// It failed and may go better soon.
    Failed {
        /// What the service asked for.
        retry_after: Option<Duration>,
    },
    /// It failed, and somebody has to do something about it.
    Stuck,
}

/// After how long each is done again: seconds, from and to.
const RECEIPT_EVERY: (u64, u64) = (24 * HOUR, 48 * HOUR);
const REFRESH_EVERY: (u64, u64) = (30 * HOUR, 54 * HOUR);
/// How long after a refresh its backup is rewritten.
const BACKUP_AFTER: (u64, u64) = (HOUR, 20 * HOUR);
/// So far apart a receipt and a refresh are at least.
const APART: u64 = 3 * HOUR;
/// How long before an end there must be a first try.
const BEFORE_END: u64 = 18 * HOUR;
/// The first pause after a failure; each further one is up to twice as long.
const FIRST_PAUSE: u64 = 5 * MINUTE;
const LONGEST_PAUSE: u64 = 4 * HOUR;
/// When somebody has to do something first.
const STUCK_PAUSE: (u64, u64) = (12 * HOUR, 24 * HOUR);

/// When what is to be done next. Kept on the device, so that a restart brings no duty forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    receipt: Entry,
    refresh: Entry,
    backup: Option<Entry>,
    /// When a receipt was fetched last.
    receipt_fetched: Option<UnixTime>,
    /// When a refresh was tried last.
    refresh_tried: Option<UnixTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    next: UnixTime,
    failures: u32,
}

impl Entry {
    const fn at(next: UnixTime) -> Self {
        Self { next, failures: 0 }
    }
}

impl Plan {
    /// A first plan for a device whose receipt and access token end then; `None` for what it hasn't, or has let end.
    #[must_use]
    pub fn new(
        now: UnixTime,
        receipt_ends: Option<UnixTime>,
        access_ends: Option<UnixTime>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        // In time before the end, and within one round of the dice.
        let first = |ends: Option<UnixTime>, every: (u64, u64), rng: &mut _| {
            let left = ends.map_or(0, |ends| now.until(ends).as_secs());
            let room = left.saturating_sub(BEFORE_END).min(every.0);
            later(now, drawn((0, room.max(10 * MINUTE)), rng))
        };
        let receipt = first(receipt_ends, RECEIPT_EVERY, rng);
        let refresh = apart(first(access_ends, REFRESH_EVERY, rng), &[receipt], rng);
        Self {
            receipt: Entry::at(receipt),
            refresh: Entry::at(refresh),
            backup: None,
            receipt_fetched: None,
            refresh_tried: None,
        }
    }

    /// What is due `now`, in the order in which it became due.
    #[must_use]
    pub fn due(&self, now: UnixTime) -> Vec<Duty> {
        let mut due: Vec<_> =
            Duty::ALL.into_iter().filter_map(|duty| Some((self.next(duty)?, duty))).collect();
        due.retain(|(next, _)| *next <= now);
        due.sort_unstable();
        due.into_iter().map(|(_, duty)| duty).collect()
    }

    /// When a duty is due; `None` for a backup that is as new as can be.
    #[must_use]
    pub fn next(&self, duty: Duty) -> Option<UnixTime> {
        match duty {
            Duty::Receipt => Some(self.receipt.next),
            Duty::Refresh => Some(self.refresh.next),
            Duty::Backup => self.backup.map(|entry| entry.next),
        }
    }

    /// When the first of all is due.
    #[must_use]
    pub fn wakes(&self) -> UnixTime {
        Duty::ALL.into_iter().filter_map(|duty| self.next(duty)).min().unwrap_or(self.receipt.next)
    }

    /// Plans the next time, after a try that went so.
    pub fn tried(&mut self, duty: Duty, outcome: Outcome, now: UnixTime, rng: &mut impl CryptoRng) {
        match duty {
            Duty::Receipt if outcome == Outcome::Done => self.receipt_fetched = Some(now),
            // Whatever came of it: the DIP service may have seen it.
            Duty::Refresh if outcome != Outcome::NoReceipt => self.refresh_tried = Some(now),
            _ => {}
        }
        let failures = match duty {
            Duty::Receipt => self.receipt.failures,
            Duty::Refresh => self.refresh.failures,
            Duty::Backup => self.backup.map_or(0, |entry| entry.failures),
        };
        let (next, failures) = match outcome {
            Outcome::Done => (self.after(duty, now, rng), 0),
            Outcome::NoReceipt => {
                let receipt = self.receipt.next.max(now);
                (later(receipt, drawn((APART, 2 * APART), rng)), 0)
            }
            Outcome::Failed { retry_after } => {
                let most = FIRST_PAUSE.saturating_mul(1 << failures.min(6)).min(LONGEST_PAUSE);
                let pause = drawn((most / 2, most), rng);
                let asked = retry_after.map_or(0, |wait| wait.as_secs().min(LONGEST_PAUSE));
                (later(now, pause.max(asked)), failures.saturating_add(1))
            }
            Outcome::Stuck => (later(now, drawn(STUCK_PAUSE, rng)), failures.saturating_add(1)),
        };
        let entry = Entry { next: self.kept_apart(duty, next, rng), failures };
        match duty {
            Duty::Receipt => self.receipt = entry,
            Duty::Refresh => {
                self.refresh = entry;
                if outcome == Outcome::Done {
                    self.backup = Some(Entry::at(later(now, drawn(BACKUP_AFTER, rng))));
                }
            }
            Duty::Backup => self.backup = (outcome != Outcome::Done).then_some(entry),
        }
        self.keep_others_away(duty, outcome, now, rng);
    }

    /// After a pause of the device both may be overdue: what comes second waits for hours.
    fn keep_others_away(
        &mut self,
        duty: Duty,
        outcome: Outcome,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) {
        let other = match duty {
            Duty::Receipt => &mut self.refresh,
            Duty::Refresh if outcome != Outcome::NoReceipt => &mut self.receipt,
            Duty::Refresh | Duty::Backup => return,
        };
        if other.next < later(now, APART) {
            other.next = later(now, drawn((APART, 2 * APART), rng));
        }
    }

    fn after(&self, duty: Duty, now: UnixTime, rng: &mut impl CryptoRng) -> UnixTime {
        let every = match duty {
            Duty::Receipt => RECEIPT_EVERY,
            Duty::Refresh => REFRESH_EVERY,
            Duty::Backup => BACKUP_AFTER,
        };
        later(now, drawn(every, rng))
    }

    /// A receipt and a refresh keep apart, from the other's next time and from its last.
    fn kept_apart(&self, duty: Duty, next: UnixTime, rng: &mut impl CryptoRng) -> UnixTime {
        let (planned, last) = match duty {
            Duty::Receipt => (self.refresh.next, self.refresh_tried),
            Duty::Refresh => (self.receipt.next, self.receipt_fetched),
            Duty::Backup => return next,
        };
        match last {
            Some(last) => apart(next, &[planned, last], rng),
            None => apart(next, &[planned], rng),
        }
    }
}

/// `moment`, or a later one that is [`APART`] from each of `others`.
fn apart(moment: UnixTime, others: &[UnixTime], rng: &mut impl CryptoRng) -> UnixTime {
    let near = |moment: UnixTime, other: UnixTime| {
        moment.until(other).max(other.until(moment)).as_secs() < APART
    };
    let mut moment = moment;
    // Each pass leaves one of the others behind.
    for _ in 0..=others.len() {
        let Some(other) = others.iter().find(|other| near(moment, **other)) else { break };
        moment = later(*other, drawn((APART, 2 * APART), rng));
    }
    moment
}

fn later(moment: UnixTime, seconds: u64) -> UnixTime {
    moment.plus(Duration::from_secs(seconds))
}

/// A number of seconds, each as likely as the others (to within 2^-32).
fn drawn((from, to): (u64, u64), rng: &mut impl CryptoRng) -> u64 {
    let width = u128::from(to.saturating_sub(from)) + 1;
    from + ((u128::from(rng.next_u64()) * width) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use coarse::system_rng;

    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);

    fn hours(from: UnixTime, to: UnixTime) -> f64 {
        (to.seconds() as f64 - from.seconds() as f64) / HOUR as f64
    }

    /// Half a year of a device that is always on and never fails.
    #[test]
    fn schedules_are_wide_independent_and_apart() {
        let rng = &mut system_rng();
        for _ in 0..20 {
            let mut plan = Plan::new(NOW, None, None, rng);
            let mut done: Vec<(UnixTime, Duty)> = Vec::new();
            while hours(NOW, plan.wakes()) < 180.0 * 24.0 {
                let now = plan.wakes();
                for duty in plan.due(now) {
                    done.push((now, duty));
                    plan.tried(duty, Outcome::Done, now, rng);
                }
            }
            let of = |wanted| -> Vec<UnixTime> {
                done.iter().filter(|(_, duty)| *duty == wanted).map(|(when, _)| *when).collect()
            };
            let (receipts, refreshes, backups) =
                (of(Duty::Receipt), of(Duty::Refresh), of(Duty::Backup));
            let gaps = |all: &[UnixTime]| -> Vec<f64> {
                all.windows(2).map(|pair| hours(pair[0], pair[1])).collect()
            };
            // A receipt is moved by up to six hours for each neighbour; both are done in time.
            assert!(gaps(&receipts).iter().all(|gap| (24.0..66.0).contains(gap)));
            assert!(gaps(&refreshes).iter().all(|gap| (30.0..66.0).contains(gap)));
            for receipt in &receipts {
                assert!(refreshes.iter().all(|refresh| hours(*receipt, *refresh).abs() >= 3.0));
            }
            let spread = |all: &[f64]| {
                all.iter().fold(0.0, |most: f64, gap| most.max(*gap))
                    - all.iter().fold(99.0, |least: f64, gap| least.min(*gap))
            };
            assert!(spread(&gaps(&receipts)) > 8.0 && spread(&gaps(&refreshes)) > 8.0);
            assert!(backups.len().abs_diff(refreshes.len()) <= 1);
        }
    }

    #[test]
    fn what_ends_soon_is_done_soon() {
        let rng = &mut system_rng();
        for _ in 0..200 {
            let (soon, late) = (later(NOW, 20 * HOUR), later(NOW, 70 * HOUR));
            let plan = Plan::new(NOW, Some(soon), Some(late), rng);
            assert!(hours(NOW, plan.receipt.next) <= 2.0);
            assert!(hours(NOW, plan.refresh.next) <= 36.0);
            let plan = Plan::new(NOW, None, None, rng);
            assert!(hours(NOW, plan.receipt.next) <= 0.2);
            assert!(hours(plan.receipt.next, plan.refresh.next) >= 3.0);
        }
    }

    #[test]
    fn failures_wait_longer_and_longer() {
        let rng = &mut system_rng();
        let mut plan = Plan::new(NOW, None, None, rng);
        let mut now = plan.receipt.next;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            plan.tried(Duty::Receipt, Outcome::Failed { retry_after: None }, now, rng);
            // Its neighbour is out of the way.
            plan.refresh.next = later(now, 1000 * HOUR);
            let next = plan.receipt.next;
            pauses.push(hours(now, next));
            now = next;
        }
        assert!(pauses[0] < 0.1);
        assert!(pauses[6..].iter().all(|pause| (2.0..=4.0).contains(pause)), "{pauses:?}");
        plan.tried(Duty::Receipt, Outcome::Done, now, rng);
        assert_eq!(plan.receipt.failures, 0);
        let asked = Outcome::Failed { retry_after: Some(Duration::from_secs(2 * HOUR)) };
        plan.tried(Duty::Backup, asked, now, rng);
        assert!(hours(now, plan.next(Duty::Backup).unwrap()) >= 2.0);
        plan.tried(Duty::Receipt, Outcome::Stuck, now, rng);
        assert!(hours(now, plan.receipt.next) >= 12.0);
    }

    #[test]
    fn a_refresh_waits_for_a_receipt_and_then_for_hours() {
        let rng = &mut system_rng();
        let mut plan = Plan::new(NOW, None, None, rng);
        let now = plan.refresh.next;
        plan.tried(Duty::Refresh, Outcome::NoReceipt, now, rng);
        assert!(hours(now, plan.refresh.next) >= 3.0);
        assert!(plan.refresh_tried.is_none());
        plan.tried(Duty::Receipt, Outcome::Done, now, rng);
        assert!(hours(now, plan.refresh.next) >= 3.0);
        // The machine slept through it all: what comes second keeps its distance.
        let woken = later(now, 500 * HOUR);
        assert_eq!(plan.due(woken).len(), 2);
        plan.tried(Duty::Receipt, Outcome::Done, woken, rng);
        assert_eq!(plan.due(woken), []);
        assert!((3.0..=6.0).contains(&hours(woken, plan.refresh.next)));
    }

    #[test]
    fn a_plan_is_kept() {
        let plan = Plan::new(NOW, None, None, &mut system_rng());
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
