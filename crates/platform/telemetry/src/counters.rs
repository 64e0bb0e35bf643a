//! Counters in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Values are shown as multiples of this: what happened fewer times than that shows as 0, and most
/// single events don't show at all. Whoever reads the counters all the time still sees some of them move;
/// so who may read them is a matter of access.
pub const GRAIN: u64 = 10;

/// The counters of one process. Names and labels are `&'static str`: no address, token or id can
/// become one.
#[derive(Clone, Default)]
pub struct Counters(Arc<Mutex<BTreeMap<&'static str, Family>>>);

type Labels = Vec<(&'static str, &'static str)>;

struct Family {
    help: &'static str,
    members: BTreeMap<Labels, Counter>,
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

    /// What is shown: the count rounded down to a multiple of [`GRAIN`].
    #[must_use]
    pub fn shown(&self) -> u64 {
        let exact = self.0.load(Ordering::Relaxed);
        exact - exact % GRAIN
    }
}

impl Counters {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter with this name (Prometheus' rules: `[a-z_]+`, ends in `_total`) and labels; made
    /// when first asked for. `help` says what is counted.
    #[must_use]
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &'static str)],
    ) -> Counter {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family =
            families.entry(name).or_insert_with(|| Family { help, members: BTreeMap::new() });
        family.members.entry(labels.to_vec()).or_default().clone()
    }

    /// All counters as Prometheus reads them (`text/plain; version=0.0.4`).
    #[must_use]
    pub fn render(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (name, family) in families.iter() {
            let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
            // Writing to a string can't fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for (labels, counter) in &family.members {
                let _ = writeln!(text, "{name}{} {}", in_braces(labels), counter.shown());
            }
        }
        text
    }
}

fn in_braces(labels: &Labels) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let quoted = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let pairs: Vec<_> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_are_hidden_and_others_rounded_down() {
        let counter = Counter::default();
        for (count, shown) in
            [(0, 0), (1, 0), (8, 0), (1, 10), (9, 10), (1, 20), (1_000_003, 1_000_020)]
        {
            counter.add(count);
            assert_eq!(counter.shown(), shown);
        }
    }

    #[test]
    fn renders_what_prometheus_reads() {
        let counters = Counters::new();
        let issued =
            |purpose| counters.counter("issued_total", "Tokens\nissued.", &[("purpose", purpose)]);
        issued("access").add(25);
        issued("say \"hi\"\\").increment();
        issued("access").add(5);
        counters.counter("drawn_total", "Drawn.", &[]).add(11);
        assert_eq!(
            counters.render(),
            "# HELP drawn_total Drawn.\n# TYPE drawn_total counter\ndrawn_total 10\n\
             # HELP issued_total Tokens\\nissued.\n# TYPE issued_total counter\n\
             issued_total{purpose=\"access\"} 30\n\
             issued_total{purpose=\"say \\\"hi\\\"\\\\\"} 0\n"
        );
    }
}
