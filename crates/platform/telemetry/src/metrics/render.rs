//! The text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Bound, Family, Kind, Shown};

pub(super) fn render(families: &BTreeMap<&'static str, Family>) -> String {
    let mut text = String::new();
    for (name, family) in families {
        let help = family.named.help.replace('\\', r"\\").replace('\n', r"\n");
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string can't fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, member) in &family.members {
            match &member.shown {
                Shown::Number(number) => {
                    let _ = writeln!(text, "{name}{} {number}", in_braces(labels, None));
                }
                Shown::Buckets(bounds, counts) => buckets(&mut text, name, labels, bounds, counts),
            }
        }
    }
    text
}

fn buckets(
    text: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    bounds: &[Bound],
    counts: &[u64],
) {
    let ends = bounds.iter().map(|bound| bound.text).chain(["+Inf"]);
    for (end, count) in ends.zip(counts) {
        let braces = in_braces(labels, Some(("le", end)));
        let _ = writeln!(text, "{name}_bucket{braces} {count}");
    }
    let (mut sum, mut before, mut seconds) = (0.0, 0, 0.0);
    for (place, count) in counts.iter().enumerate() {
        // What is longer than every bound counts as long as the longest.
        seconds = bounds.get(place).map_or(seconds, |bound| bound.up_to.as_secs_f64());
        let (many, last) = (count.saturating_sub(before), *count);
        before = last;
        // Exact below 2^53 events.
        sum += many as f64 * seconds;
    }
    let braces = in_braces(labels, None);
    let _ = writeln!(text, "{name}_sum{braces} {sum}\n{name}_count{braces} {before}");
}

fn in_braces(labels: &[(&str, &str)], last: Option<(&str, &str)>) -> String {
    let quoted = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let pair = |(name, value): (&str, &str)| format!("{name}=\"{}\"", quoted(value));
    let pairs: Vec<_> = labels.iter().copied().chain(last).map(pair).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}
