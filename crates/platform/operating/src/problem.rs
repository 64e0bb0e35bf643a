//! What acts fail with here.

use http::StatusCode;
use service::Problem;

/// What an act fails with whose line can't be written, as it is documented.
pub const TRAIL_FAILED: (u16, &str) = (503, "trail-failed");

/// This file, for [`service::contract`].
pub const PROBLEM_SOURCE: &str = include_str!("problem.rs");

pub(crate) fn trail_failed() -> Problem {
    let title = "No line could be left in the audit trail";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "trail-failed", title)
        .with_detail("the act itself may have been done; repeat it when the trail can be written")
}
