//! What the service counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dip_api::operator::{RegionStatus, RegionSurvey};
use enclave_watch::{Attestor, EnclaveWatch};
use telemetry::{Counter, Metrics, Named, Pace, Precision};

const MINTED: Named = Named {
    name: "cloakroom_dip_minted_total",
    help: "Requests that the enclave answered, by what was asked and whether it was granted.",
    pace: Pace::Hourly,
};
const POOL: Named = Named {
    name: "cloakroom_pool_addresses",
    help: "Addresses of all regions by state, as the last tidying found them.",
    pace: Pace::Hourly,
};
const TIDY: Named = Named {
    name: "cloakroom_tidy_failures_total",
    help: "Times that the pool could not be tidied.",
    pace: Pace::Minutely,
};
const ATTESTED: Named = Named {
    name: "cloakroom_enclave_attested",
    help: "Whether the enclave is attested: 1 or 0.",
    pace: Pace::Minutely,
};

/// The service's counters; made with [`Measures::new`].
pub struct Measures {
    assign: Answers,
    refresh: Answers,
    pool: Arc<Mutex<Pool>>,
    tidy_failures: Arc<AtomicU64>,
    metrics: Metrics,
}

struct Answers {
    granted: Counter,
    refused: Counter,
}

/// Addresses of all regions by state.
#[derive(Clone, Copy, Default)]
struct Pool {
    available: u64,
    reserved: u64,
    leased: u64,
    grace: u64,
    quarantine: u64,
    drained: u64,
    blocked: u64,
}

/// One state's count.
type CountOf = fn(Pool) -> u64;

impl Measures {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        store::measure(metrics);
        let answers = |request| {
            let counter =
                |answer| metrics.counter(MINTED, &[("request", request), ("answer", answer)]);
            Answers { granted: counter("granted"), refused: counter("refused") }
        };
        let pool = Arc::new(Mutex::new(Pool::default()));
        let states: [(_, CountOf); 7] = [
            ("available", |pool| pool.available),
            ("reserved", |pool| pool.reserved),
            ("leased", |pool| pool.leased),
            ("grace", |pool| pool.grace),
            ("quarantine", |pool| pool.quarantine),
            ("drained", |pool| pool.drained),
            ("blocked", |pool| pool.blocked),
        ];
        for (state, count) in states {
            let pool = Arc::clone(&pool);
            let read = move || count(*pool.lock().unwrap_or_else(PoisonError::into_inner));
            metrics.gauge(POOL, Precision::Tens, &[("state", state)], read);
        }
        let tidy_failures = Arc::new(AtomicU64::new(0));
        let failures = Arc::clone(&tidy_failures);
        let read = move || failures.load(Ordering::Relaxed);
        metrics.counted(TIDY, Precision::Exact, &[], read);
        let (assign, refresh) = (answers("assign"), answers("refresh"));
        Self { assign, refresh, pool, tidy_failures, metrics: metrics.clone() }
    }

    /// Shows whether the enclave is attested.
    pub(crate) fn watch<A: Attestor>(&self, enclave: &EnclaveWatch<A>) {
        let keys = enclave.watched();
        self.metrics
            .gauge(ATTESTED, Precision::Exact, &[], move || u64::from(keys.borrow().is_some()));
    }

    pub(crate) fn assigned(&self, granted: bool) {
        self.assign.count(granted);
    }

    pub(crate) fn refreshed(&self, granted: bool) {
        self.refresh.count(granted);
    }

    pub(crate) fn tidy_failed(&self) {
        self.tidy_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn found(&self, regions: &[RegionSurvey]) {
        let sum = |count: fn(&RegionStatus) -> u32| {
            regions.iter().map(|region| u64::from(count(&region.status))).sum()
        };
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = Pool {
            available: sum(|one| one.available),
            reserved: sum(|one| one.reserved),
            leased: sum(|one| one.leased),
            grace: sum(|one| one.grace),
            quarantine: sum(|one| one.quarantine),
            drained: sum(|one| one.drained),
            blocked: sum(|one| one.blocked),
        };
    }
}

impl Answers {
    fn count(&self, granted: bool) {
        if granted { &self.granted } else { &self.refused }.increment();
    }
}
