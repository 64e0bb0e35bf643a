//! Problem documents (RFC 9457) that a service answered.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Deserialize;

/// Where the types of problems are named; a slug follows.
pub const PROBLEM_TYPES: &str = "https://cloakroom.example/problems/";

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A problem document that another service answered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ReceivedProblem {
    /// Names the kind of problem.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The kind in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status: of the answer itself, whatever the document says.
    #[serde(default)]
    pub status: u16,
    /// What was wrong in this case.
    #[serde(default)]
    pub detail: Option<String>,
    /// Seconds after which to try again, from the answer's `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl ReceivedProblem {
    /// Reads a failed answer; one without a problem document becomes a problem with an empty type.
    #[must_use]
    pub fn from_response(response: &http::Response<bytes::Bytes>) -> Self {
        let header = |name| response.headers().get(name)?.to_str().ok();
        let document = header(CONTENT_TYPE)
            .filter(|kind| kind.starts_with(PROBLEM_JSON))
            .and_then(|_| serde_json::from_slice(response.body()).ok());
        let retry_after = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        let unknown = Self {
            kind: String::new(),
            title: "The other side failed without saying why".to_owned(),
            status: 0,
            detail: None,
            retry_after: None,
        };
        Self { status: response.status().as_u16(), retry_after, ..document.unwrap_or(unknown) }
    }

    /// The last part of a type that this project defines; empty for other types.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.kind.strip_prefix(PROBLEM_TYPES).unwrap_or_default()
    }
}

impl std::fmt::Display for ReceivedProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.title, self.status)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}
