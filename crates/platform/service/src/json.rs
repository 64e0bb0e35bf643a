//! JSON bodies.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::Problem;

/// A JSON body, of a request or an answer. A request that doesn't fit gets a [`Problem`]: 415 for another
/// media type, 400 for what isn't JSON, 422 for JSON of another shape. It says where, never what.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .with_detail("send application/json"));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::of_status(rejection.into_response().status()))?;
        // JSON is UTF-8 (RFC 8259 section 8.1), also in members that are passed over.
        let text = std::str::from_utf8(&body).map_err(|_| {
            Problem::of_status(StatusCode::BAD_REQUEST).with_detail("the body is not UTF-8")
        })?;
        serde_json::from_str(text).map(Self).map_err(|error| refuse(&error))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// serde's own messages quote the request; this one only points.
fn refuse(error: &serde_json::Error) -> Problem {
    let status = match error.classify() {
        Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
        Category::Syntax | Category::Eof | Category::Io => StatusCode::BAD_REQUEST,
    };
    let place = format!("see line {}, column {} of the body", error.line(), error.column());
    Problem::of_status(status).with_detail(place)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body)
                .into_response(),
            Err(_) => {
                tracing::error!("an answer can't be written as JSON");
                Problem::internal().into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Ask {
        count: u8,
    }

    async fn read(body: &'static [u8]) -> Result<u8, StatusCode> {
        let request = Request::post("/").header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body)).unwrap();
        match Json::<Ask>::from_request(request, &()).await {
            Ok(Json(ask)) => Ok(ask.count),
            Err(problem) => Err(problem.into_response().status()),
        }
    }

    #[tokio::test]
    async fn a_body_is_utf_8_in_members_that_nobody_reads_too() {
        assert_eq!(read(br#"{"count":4,"more":{"x":1}}"#).await, Ok(4));
        let spoilt = read(b"{\"count\":4,\"more\":{\"\xd4\":1}}").await;
        assert_eq!(spoilt, Err(StatusCode::BAD_REQUEST));
    }
}
