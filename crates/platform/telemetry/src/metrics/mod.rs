//! Metrics in Prometheus' text format, for whoever runs a service and of no use to whoever watches it.
//!
//! Somebody who reads `/metrics` every second must not see when one event happened. So nothing shown is
//! live: values are copied at the full minute or hour ([`Pace`]) and stay as they are until the next; and
//! what people cause is rounded down to multiples of [`GRAIN`]. What people cause is shown hourly, as
//! coarse as the log; what says how the service itself fares may be shown each minute.
//!
//! Names and labels are `&'static str`: no address, token or id can become one.

mod render;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coarse::{Clock, UnixTime};

/// Values that people cause are shown as multiples of this.
pub const GRAIN: u64 = 10;

/// How often a shown value may change: at full hours or minutes of the clock, so that not even the
/// process's start shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// For all that people cause.
    Hourly,
    /// For how the service itself fares.
    Minutely,
}

impl Pace {
    const fn seconds(self) -> u64 {
        match self {
            Self::Hourly => 3600,
            Self::Minutely => 60,
        }
    }
}

/// How exactly a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Rounded down to a multiple of [`GRAIN`]: for whatever people cause.
    Tens,
    /// As it is: for what says nothing about anybody.
    Exact,
}

/// What a family's values mean, in Prometheus' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// A family: its name, what it is, and how often what is shown may change.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The name, by Prometheus' conventions: `cloakroom_` first, the unit or `_total` last.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub help: &'static str,
    /// When shown values change.
    pub pace: Pace,
}

/// Labels and their values, from the program's text.
pub type Labels = [(&'static str, &'static str)];

/// The metrics of one process; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    families: Mutex<BTreeMap<&'static str, Family>>,
}

struct Family {
    named: Named,
    kind: Kind,
    members: BTreeMap<Vec<(&'static str, &'static str)>, Member>,
    /// The number of the minute or hour that is shown.
    shown_at: u64,
}

struct Member {
    source: Source,
    shown: Shown,
}

enum Source {
    Counter(Counter),
    Read(Precision, Box<dyn Fn() -> u64 + Send + Sync>),
    Histogram(Histogram),
}

#[derive(Clone)]
enum Shown {
    Number(u64),
    /// Cumulative, one for each bound and one for everything.
    Buckets(&'static [Bound], Vec<u64>),
}

/// One counter; clones share it. It starts at 0 with the process.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `amount`.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The exact count: for programs and tests, never for `/metrics`.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper end of a histogram's bucket, and how it is written in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// As a duration.
    pub up_to: Duration,
    /// In seconds, as text.
    pub text: &'static str,
}

/// Durations counted by size; clones share it.
#[derive(Clone)]
pub struct Histogram {
    bounds: &'static [Bound],
    counts: Arc<[AtomicU64]>,
}

impl Histogram {
    fn new(bounds: &'static [Bound]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one that took `duration`.
    pub fn observe(&self, duration: Duration) {
        let fits = |bound: &Bound| duration <= bound.up_to;
        let place = self.bounds.iter().position(fits).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cumulative(&self) -> Vec<u64> {
        let mut sum = 0;
        let running = self.counts.iter().map(|count| {
            sum += count.load(Ordering::Relaxed);
            rounded(sum)
        });
        running.collect()
    }
}

const fn rounded(exact: u64) -> u64 {
    exact - exact % GRAIN
}

impl Metrics {
    /// An empty registry that shows values by `clock`, and when the process started, to the hour.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let start = clock.now().hour().start().seconds();
        let metrics = Self(Arc::new(Inner { clock, families: Mutex::default() }));
        let named = Named {
            name: "cloakroom_process_start_time_seconds",
            help: "The hour in which the process started, in seconds since 1970.",
            pace: Pace::Minutely,
        };
        metrics.gauge(named, Precision::Exact, &[], move || start);
        metrics
    }

    /// A counter, made when first asked for. It shows multiples of [`GRAIN`].
    #[must_use]
    pub fn counter(&self, named: Named, labels: &Labels) -> Counter {
        let made = || Source::Counter(Counter::default());
        match self.member(named, Kind::Counter, labels, made) {
            Some(Source::Counter(counter)) => counter,
            _ => Counter::default(),
        }
    }

    /// A counter that somebody else keeps: `read` says how far it is.
    pub fn counted(
        &self,
        named: Named,
        precision: Precision,
        labels: &Labels,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let _ =
            self.member(named, Kind::Counter, labels, || Source::Read(precision, Box::new(read)));
    }

    /// A gauge: `read` says where it stands.
    pub fn gauge(
        &self,
        named: Named,
        precision: Precision,
        labels: &Labels,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let _ = self.member(named, Kind::Gauge, labels, || Source::Read(precision, Box::new(read)));
    }

    /// A histogram of durations, made when first asked for. Its counts are shown as multiples of [`GRAIN`],
    /// and its sum is what these would make at most.
    #[must_use]
    pub fn histogram(&self, named: Named, bounds: &'static [Bound], labels: &Labels) -> Histogram {
        let made = || Source::Histogram(Histogram::new(bounds));
        match self.member(named, Kind::Histogram, labels, made) {
            Some(Source::Histogram(histogram)) => histogram,
            _ => Histogram::new(bounds),
        }
    }

    /// The source of a member: a copy of what is there, or of what `make` made. `None` for one that is only read.
    fn member(
        &self,
        named: Named,
        kind: Kind,
        labels: &Labels,
        make: impl FnOnce() -> Source,
    ) -> Option<Source> {
        let now = self.0.clock.now();
        let mut families = self.families();
        let family = families.entry(named.name).or_insert_with(|| Family {
            named,
            kind,
            members: BTreeMap::new(),
            shown_at: now.seconds() / named.pace.seconds(),
        });
        let member = family.members.entry(labels.to_vec()).or_insert_with(|| {
            let source = make();
            // What is exact may be seen from the start; what isn't starts at nothing.
            let shown = match &source {
                Source::Read(Precision::Exact, read) => Shown::Number(read()),
                Source::Read(Precision::Tens, _) | Source::Counter(_) => Shown::Number(0),
                Source::Histogram(histogram) => {
                    Shown::Buckets(histogram.bounds, vec![0; histogram.bounds.len() + 1])
                }
            };
            Member { source, shown }
        });
        match &member.source {
            Source::Counter(counter) => Some(Source::Counter(counter.clone())),
            Source::Histogram(histogram) => Some(Source::Histogram(histogram.clone())),
            Source::Read(..) => None,
        }
    }

    /// How long until [`publish`](Self::publish) has something to do.
    #[must_use]
    pub fn until_next(&self) -> Duration {
        let now = self.0.clock.now();
        let pace = Pace::Minutely.seconds();
        let next = UnixTime::from_seconds((now.seconds() / pace + 1) * pace);
        now.until(next)
    }

    /// Shows present values wherever a full minute or hour has passed since the last time. Nothing else changes
    /// what is shown: whoever serves calls this by the clock, and never because somebody asks.
    pub fn publish(&self) {
        let now = self.0.clock.now().seconds();
        for family in self.families().values_mut() {
            let at = now / family.named.pace.seconds();
            if at == family.shown_at {
                continue;
            }
            family.shown_at = at;
            for member in family.members.values_mut() {
                member.shown = match &member.source {
                    Source::Counter(counter) => Shown::Number(rounded(counter.count())),
                    Source::Read(Precision::Tens, read) => Shown::Number(rounded(read())),
                    Source::Read(Precision::Exact, read) => Shown::Number(read()),
                    Source::Histogram(histogram) => {
                        Shown::Buckets(histogram.bounds, histogram.cumulative())
                    }
                };
            }
        }
    }

    /// What is shown, as Prometheus reads it (`text/plain; version=0.0.4`).
    #[must_use]
    pub fn render(&self) -> String {
        render::render(&self.families())
    }

    /// Name, kind and meaning of all families.
    #[must_use]
    pub fn named(&self) -> Vec<(Named, Kind)> {
        self.families().values().map(|family| (family.named, family.kind)).collect()
    }

    fn families(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.0.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
