//! A service's end: what operators did leaves a line in the audit trail.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use coarse::Clock;
use http::request::Parts;
use service::Problem;
use trail::Trail;

use crate::problem::trail_failed;

/// The header that says who the operator is.
pub const OPERATOR: &str = "cloakroom-operator";

/// Who an operator says they are, for the trail.
#[derive(Debug)]
pub struct OperatorName(String);

impl<S: Sync> FromRequestParts<S> for OperatorName {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let name = parts.headers.get(OPERATOR).and_then(|name| name.to_str().ok());
        Ok(Self(name.unwrap_or("unnamed").to_owned()))
    }
}

/// The trail, with the time.
pub struct Acts {
    trail: Trail,
    clock: Arc<dyn Clock>,
}

impl Acts {
    /// Acts that are told in `trail`.
    #[must_use]
    pub fn new(trail: Trail, clock: Arc<dyn Clock>) -> Self {
        Self { trail, clock }
    }

    /// Leaves a line in the trail: what was done, or why it was refused.
    ///
    /// # Errors
    /// What the act was refused with, else [`TRAIL_FAILED`](crate::TRAIL_FAILED): an act whose line can't be written is answered as failed, and may be repeated.
    pub async fn noted<T>(
        &self,
        OperatorName(operator): OperatorName,
        action: &'static str,
        subject: String,
        done: Result<T, Problem>,
    ) -> Result<T, Problem> {
        let outcome = match &done {
            Ok(_) => "done".to_owned(),
            Err(problem) => format!("refused: {}", problem.slug()),
        };
        let (trail, now) = (self.trail.clone(), self.clock.now());
        let append = move || trail.append(now, &operator, action, &subject, &outcome);
        let noted = tokio::task::spawn_blocking(append).await;
        let noted = noted.map_err(anyhow::Error::from).and_then(|noted| Ok(noted?));
        noted.map_err(|error| {
            tracing::error!(cause = %format_args!("{error:#}"), "the audit trail can't be written");
            trail_failed()
        })?;
        done
    }
}
