//! What is printed: rows for programs, a table for people.

use serde::Serialize;

use crate::machine::Machine;

/// Everything that one run measured.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// One figure beside the raw primitive's.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    pub(crate) raw_name: String,
    pub(crate) raw_value: f64,
    /// How much of the raw primitive's speed is left, whatever the unit: 1 is all of it.
    pub(crate) ratio: f64,
    /// How many operations were measured.
    pub(crate) n: u64,
}

impl Row {
    /// A rate: more is better.
    pub(crate) fn rate(
        name: impl Into<String>,
        unit: &'static str,
        value: f64,
        raw: (impl Into<String>, f64),
        n: u64,
    ) -> Self {
        let (raw_name, raw_value) = (raw.0.into(), raw.1);
        Self { name: name.into(), unit, value, raw_name, raw_value, ratio: value / raw_value, n }
    }

    /// A time: less is better.
    pub(crate) fn time(
        name: impl Into<String>,
        unit: &'static str,
        value: f64,
        raw: (impl Into<String>, f64),
        n: u64,
    ) -> Self {
        let (raw_name, raw_value) = (raw.0.into(), raw.1);
        Self { name: name.into(), unit, value, raw_name, raw_value, ratio: raw_value / value, n }
    }
}

impl Report {
    /// The rows for people.
    pub(crate) fn table(&self) -> String {
        let Machine { cpu, features, cores } = &self.machine;
        let mut text = format!("{cores} x {cpu} ({})\n", features.join(" "));
        for row in &self.rows {
            let Row { name, unit, value, raw_name, raw_value, ratio, n } = row;
            text.push_str(&format!(
                "\n{name}\n  {value:>12.2} {unit}   ({n} measured)\n  {raw_value:>12.2} {unit}   raw: {raw_name}\n  {:>11.1} %\n",
                ratio * 100.0
            ));
        }
        text
    }
}
