//! Moments, and the coarse marks made of them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z. For deciding, not for keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The moment `seconds` after 1970.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// This moment plus `duration` (whole seconds), at most the end of time.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// This moment minus `duration` (whole seconds), at least 1970.
    #[must_use]
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// What is left until `later`; zero when it is past.
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_secs(later.0.saturating_sub(self.0))
    }

    /// The hour that this moment lies in.
    #[must_use]
    pub const fn hour(self) -> Hour {
        Hour(self.0 / Hour::SECONDS)
    }

    /// The week that this moment lies in.
    #[must_use]
    pub const fn week(self) -> Week {
        Week((self.0 / Week::SECONDS) as u32)
    }
}

/// A count of whole hours since 1970: the finest time that logs, counters and claims carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hour(u64);

impl Hour {
    const SECONDS: u64 = 3600;

    /// The hour with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Hours since 1970.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The hour's first second.
    #[must_use]
    pub const fn start(self) -> UnixTime {
        UnixTime(self.0.saturating_mul(Self::SECONDS))
    }
}

impl fmt::Display for Hour {
    /// `2026-11-20T23Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(self.0 / 24);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}Z", self.0 % 24)
    }
}

/// Gregorian date of a day counted from 1970 (era arithmetic on 400-year cycles that start in March).
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl fmt::Display for Week {
    /// The day on which it begins: `2026-11-26`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(u64::from(self.0) * 7);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A count of whole weeks since 1970: the grain in which the end of a lease is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Week(u32);

impl Week {
    const SECONDS: u64 = 7 * 24 * 3600;

    /// The week with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Weeks since 1970.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The week's first second.
    #[must_use]
    pub const fn start(self) -> UnixTime {
        UnixTime(self.0 as u64 * Self::SECONDS)
    }

    /// The week after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A count of whole epochs since 1970. How long an epoch is depends on the purpose of the key that is
/// valid in it, so a bare epoch can't be turned into a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u32);

impl Epoch {
    /// The epoch with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Epochs since 1970.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a service gets its time from. `main` chooses; nothing else reads the system's clock.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> UnixTime;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixTime(since.as_secs())
    }
}

/// A clock that stands still until it is set; for tests and simulations.
#[derive(Debug)]
pub struct FixedClock(AtomicU64);

impl FixedClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn new(now: UnixTime) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves the hands to `now`.
    pub fn set(&self, now: UnixTime) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_prints_as_a_date_without_minutes() {
        // `date -u -d @N +%Y-%m-%dT%HZ`
        for (seconds, text) in [
            (0, "1970-01-01T00Z"),
            (951_782_400, "2000-02-29T00Z"),
            (1_709_251_199, "2024-02-29T23Z"),
            (1_795_219_200, "2026-11-21T00Z"),
            (4_107_542_400, "2100-03-01T00Z"),
        ] {
            assert_eq!(UnixTime::from_seconds(seconds).hour().to_string(), text);
        }
    }

    #[test]
    fn coarse_marks_round_down() {
        let moment = UnixTime::from_seconds(7 * 86_400 * 3 - 1);
        assert_eq!(moment.week(), Week::new(2));
        assert_eq!(moment.week().to_string(), "1970-01-15");
        assert_eq!(moment.hour().start(), UnixTime::from_seconds(7 * 86_400 * 3 - 3600));
        assert_eq!(moment.week().next().start().seconds(), 7 * 86_400 * 3);
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let end = UnixTime::from_seconds(u64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(
            UnixTime::from_seconds(5).minus(Duration::from_secs(9)),
            UnixTime::from_seconds(0)
        );
        assert_eq!(end.until(UnixTime::from_seconds(0)), Duration::ZERO);
    }
}
