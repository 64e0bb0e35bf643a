//! What the databases of this process did, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use telemetry::{Metrics, Named, Pace, Precision};

/// A program has one database as a rule; several count together.
pub(crate) static COMMITS: AtomicU64 = AtomicU64::new(0);
pub(crate) static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Shows commits and failures in `metrics`.
pub fn measure(metrics: &Metrics) {
    let commits = Named {
        name: "cloakroom_store_commits_total",
        help: "Transactions that the database committed, each for one job or more.",
        pace: Pace::Hourly,
    };
    let read = || COMMITS.load(Ordering::Relaxed);
    metrics.counted(commits, Precision::Tens, &[], read);
    let failures = Named {
        name: "cloakroom_store_failures_total",
        help: "Transactions that the database could not begin or commit.",
        pace: Pace::Minutely,
    };
    let read = || FAILURES.load(Ordering::Relaxed);
    metrics.counted(failures, Precision::Exact, &[], read);
}
