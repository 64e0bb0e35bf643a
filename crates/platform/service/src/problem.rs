//! Problem documents (RFC 9457): the one shape of every failure.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_client::{PROBLEM_JSON, PROBLEM_TYPES};
use serde::Serialize;

/// A failure as the asking side gets to see it. Slug and title are fixed texts; the detail may say what
/// was wrong with the request, and neither repeats it nor tells internals.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: Option<Cow<'static, str>>,
    /// Boxed, so that a `Result` with a problem in it stays small.
    headers: Box<HeaderMap>,
}

impl Problem {
    /// A problem named `slug` (stable: programs decide by it), with a title for people.
    #[must_use]
    pub fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        Self { status, slug, title, detail: None, headers: Box::default() }
    }

    /// Says what is wrong in this case, and what to do.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says after how many seconds to try again.
    #[must_use]
    pub fn with_retry_after(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, seconds.into())
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The answer's status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The last part of the problem's type.
    #[must_use]
    pub const fn slug(&self) -> &'static str {
        self.slug
    }

    /// 500: this service failed. What happened goes to the log, by whoever knows it, without the request.
    #[must_use]
    pub fn internal() -> Self {
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What is known about a failure of which only the status is.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (slug, title) = match status {
            StatusCode::BAD_REQUEST => ("bad-request", "The request is malformed"),
            StatusCode::UNAUTHORIZED => ("unauthorized", "Credentials are missing or wrong"),
            StatusCode::FORBIDDEN => ("forbidden", "This is not allowed"),
            StatusCode::NOT_FOUND => ("not-found", "There is nothing here"),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("method-not-allowed", "This route takes other methods")
            }
            StatusCode::REQUEST_TIMEOUT => ("request-timeout", "The request came too slowly"),
            StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "The request's body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ("unsupported-media-type", "This route takes another media type")
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                ("unprocessable", "The request's body is not what this route takes")
            }
            StatusCode::TOO_MANY_REQUESTS => {
                ("rate-limited", "There are too many requests just now")
            }
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                ("header-too-large", "The request's header is too large")
            }
            StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "The service is too busy just now"),
            status if status.is_client_error() => ("bad-request", "The request was refused"),
            _ => ("internal", "The service failed"),
        };
        Self::new(status, slug, title)
    }
}

/// The slug of an answer that is a problem, for whoever counts them.
#[derive(Clone, Copy)]
pub(crate) struct Slug(pub(crate) &'static str);

/// The document's members.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: format!("{PROBLEM_TYPES}{}", self.slug),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.as_deref(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.extend(*self.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(Slug(self.slug));
        response
    }
}

#[cfg(test)]
mod tests {
    use http_client::ReceivedProblem;

    use super::*;

    async fn received(problem: Problem) -> (HeaderMap, ReceivedProblem) {
        let (parts, body) = problem.into_response().into_parts();
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        let received =
            ReceivedProblem::from_response(&http::Response::from_parts(parts.clone(), body));
        (parts.headers, received)
    }

    #[tokio::test]
    async fn a_problem_arrives_as_it_was_sent() {
        let sent = Problem::new(StatusCode::CONFLICT, "token-spent", "The token is spent")
            .with_detail("draw another")
            .with_retry_after(7);
        let (headers, problem) = received(sent).await;
        assert_eq!(headers[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert_eq!(problem.slug(), "token-spent");
        assert_eq!(problem.kind, "https://cloakroom.example/problems/token-spent");
        assert_eq!((problem.status, problem.retry_after), (409, Some(7)));
        assert_eq!(problem.to_string(), "The token is spent (409): draw another");
    }

    #[test]
    fn an_answer_that_is_no_problem_document_still_has_a_status() {
        for (kind, body) in [("text/html", "<b>"), (PROBLEM_JSON, "<b>"), (PROBLEM_JSON, "[]")] {
            let response = http::Response::builder()
                .status(502)
                .header(CONTENT_TYPE, kind)
                .body(bytes::Bytes::from_static(body.as_bytes()))
                .unwrap();
            let problem = ReceivedProblem::from_response(&response);
            assert_eq!((problem.status, problem.slug()), (502, ""));
        }
    }
}
