use coarse::FixedClock;

use super::*;

/// 2026-11-20T23:42:17Z
const NOW: u64 = 1_795_218_137;

const DRAWS: Named = Named { name: "cloakroom_draws_total", help: "Draws.", pace: Pace::Hourly };
const FAILED: Named =
    Named { name: "cloakroom_failed_total", help: "Failures.", pace: Pace::Minutely };
const POOL: Named = Named { name: "cloakroom_pool", help: "A pool.", pace: Pace::Hourly };
const TOOK: Named =
    Named { name: "cloakroom_took_seconds", help: "How\nlong\\.", pace: Pace::Hourly };
const BOUNDS: &[Bound] = &[
    Bound { up_to: Duration::from_millis(100), text: "0.1" },
    Bound { up_to: Duration::from_secs(1), text: "1" },
];

/// A clock that the test moves.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Clock for Hands {
    fn now(&self) -> UnixTime {
        UnixTime::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

fn metrics() -> (Metrics, Hands) {
    let hands = Hands(Arc::new(AtomicU64::new(NOW)));
    (Metrics::new(Arc::new(hands.clone())), hands)
}

fn shows(metrics: &Metrics, line: &str) -> bool {
    metrics.render().lines().any(|shown| shown == line)
}

#[test]
fn small_counts_are_hidden_and_others_rounded_down() {
    let (metrics, hands) = metrics();
    let counter = metrics.counter(DRAWS, &[]);
    for (count, shown) in
        [(0, 0), (1, 0), (8, 0), (1, 10), (9, 10), (1, 20), (1_000_003, 1_000_020)]
    {
        counter.add(count);
        hands.0.fetch_add(3600, Ordering::SeqCst);
        metrics.publish();
        assert!(shows(&metrics, &format!("cloakroom_draws_total {shown}")), "{}", metrics.render());
    }
}

/// Whoever reads at every second of two hours sees the values of full hours, whenever things happened.
#[test]
fn a_shown_value_changes_at_the_full_hour_or_minute_only() {
    let (metrics, hands) = metrics();
    let (draws, failed) = (metrics.counter(DRAWS, &[]), metrics.counter(FAILED, &[]));
    let start = NOW - NOW % 3600 + 3600;
    hands.0.store(start, Ordering::SeqCst);
    metrics.publish();
    let mut last = metrics.render();
    let mut changes = Vec::new();
    for second in 1..7200 {
        hands.0.store(start + second, Ordering::SeqCst);
        // Something happens all the time, and publishing is tried all the time.
        draws.add(7);
        failed.add(7);
        metrics.publish();
        let shown = metrics.render();
        let of = |text: &str, name: &str| {
            text.lines().find(|line| line.starts_with(name)).map(str::to_owned)
        };
        for (named, every) in [(DRAWS, 3600), (FAILED, 60)] {
            if of(&shown, named.name) != of(&last, named.name) {
                assert_eq!(second % every, 0, "{} changed at {second}", named.name);
                changes.push(named.name);
            }
        }
        last = shown;
    }
    assert_eq!(changes.iter().filter(|name| **name == DRAWS.name).count(), 1);
    assert_eq!(changes.iter().filter(|name| **name == FAILED.name).count(), 119);
}

/// The moment of publishing says nothing about the process: it is the clock's, not the start's.
#[test]
fn publishing_is_due_at_full_minutes() {
    let (metrics, hands) = metrics();
    assert_eq!(metrics.until_next(), Duration::from_secs(43));
    hands.0.store(NOW - NOW % 60, Ordering::SeqCst);
    assert_eq!(metrics.until_next(), Duration::from_secs(60));
}

#[test]
fn gauges_are_rounded_unless_they_are_about_nobody() {
    let (metrics, hands) = metrics();
    metrics.gauge(POOL, Precision::Tens, &[("state", "free")], || 199);
    metrics.gauge(FAILED, Precision::Exact, &[], || 1);
    hands.0.fetch_add(3600, Ordering::SeqCst);
    metrics.publish();
    assert!(shows(&metrics, "cloakroom_pool{state=\"free\"} 190"));
    assert!(shows(&metrics, "cloakroom_failed_total 1"));
    // The hour, not the second.
    assert!(shows(&metrics, &format!("cloakroom_process_start_time_seconds {}", NOW - NOW % 3600)));
}

#[test]
fn a_counter_asked_for_twice_is_one() {
    let (metrics, hands) = metrics();
    metrics.counter(DRAWS, &[("purpose", "access")]).add(6);
    metrics.counter(DRAWS, &[("purpose", "access")]).add(6);
    hands.0.fetch_add(3600, Ordering::SeqCst);
    metrics.publish();
    assert!(shows(&metrics, "cloakroom_draws_total{purpose=\"access\"} 10"));
}

#[test]
fn a_histogram_has_rounded_cumulative_buckets() {
    let (metrics, hands) = metrics();
    let took = metrics.histogram(TOOK, BOUNDS, &[("route", "a \"b\"\\")]);
    for (millis, times) in [(100, 14), (101, 9), (1000, 1), (5000, 9)] {
        (0..times).for_each(|_| took.observe(Duration::from_millis(millis)));
    }
    hands.0.fetch_add(3600, Ordering::SeqCst);
    metrics.publish();
    let text = metrics.render();
    let expected = "# HELP cloakroom_took_seconds How\\nlong\\\\.\n\
        # TYPE cloakroom_took_seconds histogram\n\
        cloakroom_took_seconds_bucket{route=\"a \\\"b\\\"\\\\\",le=\"0.1\"} 10\n\
        cloakroom_took_seconds_bucket{route=\"a \\\"b\\\"\\\\\",le=\"1\"} 20\n\
        cloakroom_took_seconds_bucket{route=\"a \\\"b\\\"\\\\\",le=\"+Inf\"} 30\n\
        cloakroom_took_seconds_sum{route=\"a \\\"b\\\"\\\\\"} 21\n\
        cloakroom_took_seconds_count{route=\"a \\\"b\\\"\\\\\"} 30\n";
    assert!(text.ends_with(expected), "{text}");
}

/// Read back by a parser that isn't ours.
#[test]
fn a_parser_of_prometheus_reads_it() {
    let (metrics, hands) = metrics();
    metrics.counter(DRAWS, &[("purpose", "a b")]).add(25);
    metrics.gauge(POOL, Precision::Tens, &[], || 40);
    let took = metrics.histogram(TOOK, BOUNDS, &[]);
    (0..20).for_each(|_| took.observe(Duration::from_millis(500)));
    hands.0.fetch_add(3600, Ordering::SeqCst);
    metrics.publish();
    let lines = metrics.render().lines().map(|line| Ok(line.to_owned())).collect::<Vec<_>>();
    let read = prometheus_parse::Scrape::parse(lines.into_iter()).unwrap();
    assert_eq!(read.docs["cloakroom_draws_total"], "Draws.");
    let sample = |name: &str| {
        read.samples.iter().find(|sample| sample.metric == name).unwrap().value.clone()
    };
    assert_eq!(sample("cloakroom_draws_total"), prometheus_parse::Value::Counter(20.0));
    assert_eq!(sample("cloakroom_pool"), prometheus_parse::Value::Gauge(40.0));
    let prometheus_parse::Value::Histogram(buckets) = sample("cloakroom_took_seconds") else {
        panic!("no histogram");
    };
    let counts: Vec<_> = buckets.iter().map(|bucket| (bucket.less_than, bucket.count)).collect();
    assert_eq!(counts, [(0.1, 0.0), (1.0, 20.0), (f64::INFINITY, 20.0)]);
}

#[test]
fn a_fixed_clock_never_publishes() {
    let clock = Arc::new(FixedClock::new(UnixTime::from_seconds(NOW)));
    let metrics = Metrics::new(clock);
    metrics.counter(FAILED, &[]).add(100);
    metrics.publish();
    assert!(shows(&metrics, "cloakroom_failed_total 0"));
}
