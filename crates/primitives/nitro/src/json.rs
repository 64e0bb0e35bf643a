//! A report as the JSON object that `attestation verify --json` prints.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::verify::{Check, Report};

/// `{"ok", "checks": [{"name", "ok", "detail"}], "module_id", "timestamp", "pcrs": {"0": hex, ...}}`.
///
/// The last three are null unless every check passed; `timestamp` is in milliseconds since 1970.
#[derive(Debug, Serialize)]
pub struct JsonReport<'a> {
    ok: bool,
    checks: Vec<JsonCheck<'a>>,
    module_id: Option<&'a str>,
    timestamp: Option<u64>,
    pcrs: Option<BTreeMap<u8, String>>,
}

#[derive(Debug, Serialize)]
struct JsonCheck<'a> {
    name: String,
    ok: bool,
    detail: &'a str,
}

impl<'a> From<&'a Report> for JsonReport<'a> {
    fn from(report: &'a Report) -> Self {
        let attestation = report.attestation.as_ref();
        Self {
            ok: report.ok(),
            checks: report.checks.iter().map(JsonCheck::from).collect(),
            module_id: attestation.map(|it| it.module_id.as_str()),
            timestamp: attestation.map(|it| it.timestamp_ms),
            pcrs: attestation
                .map(|it| it.pcrs.iter().map(|(index, pcr)| (*index, hex::encode(pcr))).collect()),
        }
    }
}

impl<'a> From<&'a Check> for JsonCheck<'a> {
    fn from(check: &'a Check) -> Self {
        Self { name: check.name.to_string(), ok: check.ok, detail: &check.detail }
    }
}
