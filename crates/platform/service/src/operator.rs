//! Routes for the operator only.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use coarse::SecretText;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::Problem;

/// What an operator shows as `Authorization: Bearer ...`.
#[derive(Clone)]
pub struct OperatorSecret(Arc<SecretText>);

/// An operator's secret that could be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operator's secret needs at least 16 visible ASCII characters and no spaces")]
pub struct WeakSecret;

impl OperatorSecret {
    /// Takes the secret from the configuration.
    pub fn new(secret: SecretText) -> Result<Self, WeakSecret> {
        let text = secret.expose();
        if text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(Arc::new(secret)))
        } else {
            Err(WeakSecret)
        }
    }

    fn is_shown_in(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(only), None) = (shown.next(), shown.next()) else { return false };
        let Some((scheme, token)) = only.to_str().ok().and_then(|text| text.split_once(' ')) else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer") && self.0.same_as(token)
    }
}

/// Lets requests to the routes of `router` through only with the operator's secret; others get 401.
pub fn operator_only<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    secret: OperatorSecret,
) -> Router<S> {
    if router.has_routes() { router.route_layer(from_fn_with_state(secret, check)) } else { router }
}

async fn check(
    State(secret): State<OperatorSecret>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if secret.is_shown_in(request.headers()) {
        return Ok(next.run(request).await);
    }
    Err(Problem::new(StatusCode::UNAUTHORIZED, "operator-only", "This is for the operator")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "correct-horse-battery";

    fn shows(values: &[&str]) -> bool {
        let secret = OperatorSecret::new(SecretText::new(SECRET.to_owned())).unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        secret.is_shown_in(&headers)
    }

    #[test]
    fn only_the_secret_opens() {
        let right = format!("Bearer {SECRET}");
        assert!(shows(&[&right]));
        assert!(shows(&[&right.replace("Bearer", "bearer")]));
        for wrong in ["", SECRET, "Bearer ", "Basic correct-horse-battery", "Bearer correct-horse"]
        {
            assert!(!shows(&[wrong]), "{wrong}");
        }
        assert!(!shows(&[]));
        assert!(!shows(&[&right, &right]));
        assert!(!shows(&[&format!("{right}x")]));
    }

    #[test]
    fn a_weak_secret_is_refused() {
        for weak in ["", "short", "has spaces in the middle"] {
            assert!(OperatorSecret::new(SecretText::new(weak.to_owned())).is_err());
        }
    }
}
