//! A service's OpenAPI 3.1 document, made of its table of routes.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use http_client::{PROBLEM_JSON, PROBLEM_TYPES};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::route::{Access, Body, EDGE_PROBLEMS, JSON_PROBLEMS, Method, Problems, Route, Schemas};

/// The document of the service `name`, as utoipa reads and writes it.
///
/// # Errors
/// When the table makes no OpenAPI document.
pub fn openapi(
    name: &str,
    description: &str,
    routes: &[Route],
) -> Result<OpenApi, serde_json::Error> {
    let mut schemas = Schemas::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut security = Map::new();
    for route in routes {
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
        };
        let operation = operation(route, &mut schemas, &mut security);
        paths.entry(route.path).or_default().insert(method.to_owned(), operation);
    }
    let mut shapes = Map::from_iter([("Problem".to_owned(), problem_shape())]);
    for (name, schema) in schemas {
        shapes.insert(name, serde_json::to_value(schema)?);
    }
    serde_json::from_value(json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Cloakroom: {name}"),
            "description": description,
            "license": { "name": "MIT OR Apache-2.0" },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": { "schemas": shapes, "securitySchemes": security },
    }))
}

fn operation(route: &Route, schemas: &mut Schemas, security: &mut Map<String, Value>) -> Value {
    let mut operation = Map::new();
    operation.insert("summary".into(), route.summary.into());
    operation.insert("operationId".into(), operation_id(route).into());
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(body) = &route.request {
        let body = json!({
            "description": format!("At most {} bytes.", route.max_body),
            "content": content(body, schemas),
            "required": true,
        });
        operation.insert("requestBody".into(), body);
    }
    operation.insert("responses".into(), responses(route, schemas));
    if let Some((name, scheme)) = scheme(route.access) {
        security.insert(name.into(), scheme);
        operation.insert("security".into(), json!([{ name: [] }]));
    }
    if let Access::Tunnel(url) = route.access {
        let meaning = "From inside a peer's tunnel only, which says who asks.";
        operation.insert("servers".into(), json!([{ "url": url, "description": meaning }]));
    }
    Value::Object(operation)
}

/// `post-api-v1-assign`.
fn operation_id(route: &Route) -> String {
    let method = if route.method == Method::Get { "get" } else { "post" };
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("-")
}

fn parameters(route: &Route) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let in_path = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({ "name": name, "in": "path", "required": true, "schema": text }))
    });
    let in_query = route.query.iter().map(|(name, meaning, required)| {
        json!({
            "name": name, "in": "query", "description": meaning, "required": required, "schema": text,
        })
    });
    in_path.chain(in_query).collect()
}

fn content(body: &Body, schemas: &mut Schemas) -> Value {
    let schema = match body.shape {
        Some(shape) => json!({ "$ref": format!("#/components/schemas/{}", shape(schemas)) }),
        None if body.media_type.starts_with("text/") => json!({ "type": "string" }),
        None => json!({ "type": "string", "contentMediaType": body.media_type }),
    };
    json!({ body.media_type: { "schema": schema } })
}

fn responses(route: &Route, schemas: &mut Schemas) -> Value {
    let content = content(&route.answer, schemas);
    let mut answer = Map::from_iter([
        ("description".to_owned(), "Done.".into()),
        ("content".to_owned(), content),
    ]);
    if !route.answer_headers.is_empty() {
        let headers = route.answer_headers.iter().map(|(name, meaning)| {
            let header = json!({ "description": meaning, "schema": { "type": "string" } });
            ((*name).to_owned(), header)
        });
        answer.insert("headers".into(), Value::Object(headers.collect()));
    }
    let mut responses = Map::from_iter([("200".to_owned(), Value::Object(answer))]);
    for (status, slugs) in problems(route) {
        let code = StatusCode::from_u16(status).ok();
        let reason = code.and_then(|code| code.canonical_reason()).unwrap_or("Refused");
        let kinds: Vec<_> = slugs.iter().map(|slug| format!("{PROBLEM_TYPES}{slug}")).collect();
        let of_kind = json!({
            "type": "object",
            "properties": { "type": { "type": "string", "enum": kinds } },
        });
        let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Problem" }, of_kind] });
        let mut response = Map::from_iter([
            ("description".to_owned(), reason.into()),
            ("content".to_owned(), json!({ PROBLEM_JSON: { "schema": schema } })),
        ]);
        let mut headers = Map::new();
        let mut say = |name: &str, meaning: &str| {
            let header = json!({ "description": meaning, "schema": { "type": "string" } });
            headers.insert(name.to_owned(), header);
        };
        if [429, 503].contains(&status) {
            say("retry-after", "After how many seconds to try again.");
        }
        if status == 401 {
            say("www-authenticate", "What would open the route.");
        }
        if !headers.is_empty() {
            response.insert("headers".into(), Value::Object(headers));
        }
        responses.insert(status.to_string(), Value::Object(response));
    }
    Value::Object(responses)
}

/// All problems that a route may answer, by status.
pub(crate) fn problems(route: &Route) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut all: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    let takes_json = route.request.is_some_and(|body| body.shape.is_some());
    let of_json = if takes_json { JSON_PROBLEMS } else { &[] };
    let of_operators: Problems =
        if route.access == Access::Operator { &[(401, "operator-only")] } else { &[] };
    let of_all = [EDGE_PROBLEMS, of_json, of_operators];
    for (status, slug) in of_all.iter().chain(route.problems).copied().flatten() {
        all.entry(*status).or_default().insert(slug);
    }
    all
}

fn scheme(access: Access) -> Option<(&'static str, Value)> {
    let bearer =
        |meaning: &str| json!({ "type": "http", "scheme": "bearer", "description": meaning });
    match access {
        // Nothing is shown in a tunnel.
        Access::Open | Access::Tunnel(_) => None,
        Access::Operator => Some(("operator", bearer("The service's operator token."))),
        Access::Bearer(what) => Some(("customer", bearer(what))),
        Access::PrivateToken => {
            let meaning = "A Privacy Pass token of type 0x0002: the scheme `PrivateToken` with its parameter \
                           `token` (RFC 9577 section 2.2). A 401 says in WWW-Authenticate which challenge it is for.";
            // utoipa knows no HTTP scheme of this name.
            let scheme = json!({ "type": "apiKey", "in": "header", "name": "Authorization", "description": meaning });
            Some(("privateToken", scheme))
        }
    }
}

/// RFC 9457.
fn problem_shape() -> Value {
    json!({
        "type": "object",
        "description": "What every failure looks like (RFC 9457). Decide by `type`.",
        "required": ["type", "title", "status"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
        },
    })
}
