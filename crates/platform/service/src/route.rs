//! A service's routes as a table: what is documented is what is limited, counted and tested.

use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::limits::{Class, HEAVY, LIGHT, PROBE};

/// One route: what it takes, gives and costs.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with parameters as `{name}`.
    pub path: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// How often and how many at a time.
    pub class: Class,
    /// What opens it.
    pub access: Access,
    /// Query parameters: name, meaning, whether it must be given.
    pub query: &'static [(&'static str, &'static str, bool)],
    /// What a request carries.
    pub request: Option<Body>,
    /// Bytes of a request's body at most.
    pub max_body: usize,
    /// What is answered.
    pub answer: Body,
    /// Headers of the answer: name and meaning.
    pub answer_headers: &'static [(&'static str, &'static str)],
    /// Problems of this route's own, in lists that routes may share. The edge's come on top ([`EDGE_PROBLEMS`]).
    pub problems: &'static [Problems],
}

/// Problems by status and slug.
pub type Problems = &'static [(u16, &'static str)];

/// The methods that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
}

/// What opens a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is needed.
    Open,
    /// The operator's token as `Authorization: Bearer`.
    Operator,
    /// Something of the customer's as `Authorization: Bearer`: what it is.
    Bearer(&'static str),
    /// A Privacy Pass token (RFC 9577): `Authorization: PrivateToken`.
    PrivateToken,
    /// To be inside a peer's tunnel, which says who asks: the route is served there only, at this URL.
    Tunnel(&'static str),
}

/// Where a route is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// On the service's address.
    Outside,
    /// Inside peers' tunnels: see [`Inside`](crate::Inside).
    Inside,
}

/// A body: its media type and, if it is JSON, its shape.
#[derive(Clone, Copy)]
pub struct Body {
    pub(crate) media_type: &'static str,
    pub(crate) shape: Option<Shape>,
}

pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;
/// Adds a type's schema, and those of the types in it; its name.
pub(crate) type Shape = fn(&mut Schemas) -> String;

impl Body {
    /// `T` as JSON.
    #[must_use]
    pub const fn json<T: ToSchema>() -> Self {
        Self { media_type: "application/json", shape: Some(collect::<T>) }
    }

    /// `T` as JSON under a media type of its own.
    #[must_use]
    pub const fn json_as<T: ToSchema>(media_type: &'static str) -> Self {
        Self { media_type, shape: Some(collect::<T>) }
    }

    /// Bytes of this media type.
    #[must_use]
    pub const fn bytes(media_type: &'static str) -> Self {
        Self { media_type, shape: None }
    }
}

fn collect<T: ToSchema>(all: &mut Schemas) -> String {
    T::schemas(all);
    let name = T::name().into_owned();
    all.push((name.clone(), T::schema()));
    name
}

/// Room for the largest request that a service without larger ones gets.
pub const SMALL_BODY: usize = 16 * 1024;

impl Route {
    /// A route that is read.
    #[must_use]
    pub const fn get(path: &'static str, summary: &'static str, answer: Body) -> Self {
        Self {
            method: Method::Get,
            path,
            summary,
            class: LIGHT,
            access: Access::Open,
            query: &[],
            request: None,
            max_body: 0,
            answer,
            answer_headers: &[],
            problems: &[],
        }
    }

    /// A route that does something.
    #[must_use]
    pub const fn post(path: &'static str, summary: &'static str, answer: Body) -> Self {
        let get = Self::get(path, summary, answer);
        Self { method: Method::Post, class: HEAVY, ..get }
    }

    /// Takes a body of at most [`SMALL_BODY`] bytes.
    #[must_use]
    pub const fn takes(self, body: Body) -> Self {
        Self { request: Some(body), max_body: SMALL_BODY, ..self }
    }

    /// Is opened by `access`.
    #[must_use]
    pub const fn with(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Costs as much as its class.
    #[must_use]
    pub const fn costs(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// Has these query parameters.
    #[must_use]
    pub const fn asks(self, query: &'static [(&'static str, &'static str, bool)]) -> Self {
        Self { query, ..self }
    }

    /// Answers with these headers.
    #[must_use]
    pub const fn heads(self, answer_headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { answer_headers, ..self }
    }

    /// On which side it is served.
    pub(crate) const fn side(&self) -> Side {
        match self.access {
            Access::Tunnel(_) => Side::Inside,
            _ => Side::Outside,
        }
    }

    /// May answer with these problems.
    #[must_use]
    pub const fn fails(self, problems: &'static [Problems]) -> Self {
        Self { problems, ..self }
    }
}

/// Problems that any route may answer.
pub const EDGE_PROBLEMS: Problems = &[
    (400, "bad-request"),
    (408, "request-timeout"),
    (413, "too-large"),
    (415, "unsupported-media-type"),
    (429, "rate-limited"),
    (431, "header-too-large"),
    (500, "internal"),
    (503, "unavailable"),
];

/// Problems of a route that takes JSON.
pub(crate) const JSON_PROBLEMS: Problems = &[(422, "unprocessable")];

/// Problems outside of every route.
pub(crate) const STRAY_PROBLEMS: &[(u16, &str)] =
    &[(404, "not-found"), (405, "method-not-allowed"), (401, "operator-only")];

/// How a service is.
#[derive(serde::Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: String,
}

pub(crate) const HEALTH: &str = "/health";
pub(crate) const METRICS: &str = "/metrics";

/// Whether the service is ready: what every service has.
pub const HEALTH_ROUTE: Route =
    Route::get(HEALTH, "Says whether the service is ready.", Body::json::<Health>()).costs(PROBE);

/// The metrics: what every service has. See `docs/operations/metrics.md`.
pub const METRICS_ROUTE: Route =
    Route::get(METRICS, "Shows the service's metrics.", Body::bytes("text/plain; version=0.0.4"))
        .costs(PROBE);
