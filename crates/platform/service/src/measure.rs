//! What the edge counts: requests by route and status class, problems by slug, what limits cut off.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use telemetry::{Bound, Counter, Histogram, Metrics, Named, Pace};

use crate::openapi::problems;
use crate::route::{EDGE_PROBLEMS, Route, STRAY_PROBLEMS};

const REQUESTS: Named = Named {
    name: "cloakroom_http_requests_total",
    help: "Requests answered, by route and class of status.",
    pace: Pace::Hourly,
};
const PROBLEMS: Named = Named {
    name: "cloakroom_http_problems_total",
    help: "Problem documents answered, by the last part of their type.",
    pace: Pace::Hourly,
};
const TOOK: Named = Named {
    name: "cloakroom_http_handler_duration_seconds",
    help: "How long handlers took, by route; the sum is what the rounded counts make at most.",
    pace: Pace::Hourly,
};
const SHED: Named = Named {
    name: "cloakroom_http_shed_total",
    help: "Requests and connections that a limit cut off, by limit.",
    pace: Pace::Minutely,
};
const FAILED: Named = Named {
    name: "cloakroom_http_failures_total",
    help: "Requests on which the service itself failed: answers of status 500.",
    pace: Pace::Minutely,
};

/// Coarse enough that a duration says nothing about what was looked up.
const BOUNDS: &[Bound] = &[
    Bound { up_to: Duration::from_millis(10), text: "0.01" },
    Bound { up_to: Duration::from_millis(100), text: "0.1" },
    Bound { up_to: Duration::from_secs(1), text: "1" },
    Bound { up_to: Duration::from_secs(10), text: "10" },
];

const CLASSES: [&str; 4] = ["2xx", "4xx", "5xx", "other"];

/// All that is counted, whatever the route.
pub(crate) struct Measured {
    metrics: Metrics,
    problems: BTreeMap<&'static str, Counter>,
    undocumented: Counter,
    pub(crate) failed: Counter,
    pub(crate) shed: Shed,
}

/// What limits cut off.
pub(crate) struct Shed {
    pub(crate) rate: Counter,
    pub(crate) at_once: Counter,
    pub(crate) slow_body: Counter,
    pub(crate) deadline: Counter,
}

/// One route's counts.
pub(crate) struct RouteMeter {
    requests: [Counter; CLASSES.len()],
    took: Histogram,
}

impl Measured {
    /// Makes all counters, so that what may be counted is there from the start.
    pub(crate) fn new(metrics: &Metrics, routes: &[Route]) -> Self {
        let problem = |slug| metrics.counter(PROBLEMS, &[("slug", slug)]);
        let of_routes = routes.iter().flat_map(|route| problems(route).into_values().flatten());
        let of_edge = EDGE_PROBLEMS.iter().chain(STRAY_PROBLEMS).map(|(_, slug)| *slug);
        let problems = of_routes.chain(of_edge).map(|slug| (slug, problem(slug))).collect();
        let shed = |limit| metrics.counter(SHED, &[("limit", limit)]);
        Self {
            metrics: metrics.clone(),
            problems,
            undocumented: problem("other"),
            failed: metrics.counter(FAILED, &[]),
            shed: Shed {
                rate: shed("rate"),
                at_once: shed("at-once"),
                slow_body: shed("slow-body"),
                deadline: shed("deadline"),
            },
        }
    }

    pub(crate) fn route(&self, path: &'static str) -> RouteMeter {
        let requests = CLASSES
            .map(|class| self.metrics.counter(REQUESTS, &[("route", path), ("status", class)]));
        RouteMeter { requests, took: self.metrics.histogram(TOOK, BOUNDS, &[("route", path)]) }
    }

    pub(crate) fn problem(&self, slug: &str) {
        match self.problems.get(slug) {
            Some(counter) => counter.increment(),
            None => {
                tracing::error!("an answer is a problem that its route doesn't document");
                self.undocumented.increment();
            }
        }
    }
}

impl RouteMeter {
    pub(crate) fn answered(&self, status: StatusCode) {
        let [good, refused, failed, other] = &self.requests;
        match status.as_u16() {
            200..300 => good,
            400..500 => refused,
            500..600 => failed,
            _ => other,
        }
        .increment();
    }

    pub(crate) fn took(&self, duration: Duration) {
        self.took.observe(duration);
    }
}

/// Connections that came beyond the cap.
pub(crate) fn connections_refused(metrics: &Metrics) -> Counter {
    metrics.counter(SHED, &[("limit", "connections")])
}
