//! What the service counts. Nothing tells reads apart by what they found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use telemetry::{Metrics, Named, Pace, Precision};

const BACKUPS: Named = Named {
    name: "cloakroom_backups",
    help: "Backups that are kept, as the last tidying found them.",
    pace: Pace::Hourly,
};
const TIDY: Named = Named {
    name: "cloakroom_tidy_failures_total",
    help: "Times that ended backups could not be forgotten.",
    pace: Pace::Minutely,
};

/// The service's counters; made with [`Measures::new`].
pub struct Measures {
    backups: Arc<AtomicU64>,
    tidy_failures: Arc<AtomicU64>,
}

impl Measures {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        store::measure(metrics);
        let (backups, tidy_failures) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (found, failed) = (Arc::clone(&backups), Arc::clone(&tidy_failures));
        metrics.gauge(BACKUPS, Precision::Tens, &[], move || found.load(Ordering::Relaxed));
        metrics.counted(TIDY, Precision::Exact, &[], move || failed.load(Ordering::Relaxed));
        Self { backups, tidy_failures }
    }

    pub(crate) fn found(&self, backups: u32) {
        self.backups.store(backups.into(), Ordering::Relaxed);
    }

    pub(crate) fn tidy_failed(&self) {
        self.tidy_failures.fetch_add(1, Ordering::Relaxed);
    }
}
