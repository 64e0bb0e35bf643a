//! Results on standard output.

use std::io::Write as _;

use serde::Serialize;

/// Prints `value` as JSON: on one line for scripts, else laid out for people.
pub(crate) fn print(value: &impl Serialize, for_scripts: bool) -> anyhow::Result<()> {
    let json = if for_scripts {
        serde_json::to_string(value)?
    } else {
        serde_json::to_string_pretty(value)?
    };
    Ok(writeln!(std::io::stdout(), "{json}")?)
}
