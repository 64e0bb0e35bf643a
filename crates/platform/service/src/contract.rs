//! What a service's tests hold its code to: the documents that say what it serves.
//!
//! Each function returns the deviations it found; none is what a test wants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use axum::Router;
use axum::body::Body;
use http::{Method as HttpMethod, Request, StatusCode};
use telemetry::{Kind, Metrics};
use tower::ServiceExt as _;

use crate::ServeConfig;
use crate::edge::edge;
use crate::openapi::{openapi, problems};
use crate::route::{Access, EDGE_PROBLEMS, HEALTH, JSON_PROBLEMS, METRICS, Method, Route, Side};

/// What a service says of itself.
pub struct Claims<'a> {
    /// Its name: of its OpenAPI document, and of its heading in `operations/metrics.md`.
    pub name: &'a str,
    /// What its OpenAPI document says first.
    pub description: &'a str,
    /// Its table.
    pub routes: &'static [Route],
    /// What it serves.
    pub router: Router,
    /// What it counts.
    pub metrics: Metrics,
    /// Its sources that name problems.
    pub sources: &'a [&'a str],
    /// Where the documents are: the directory with `openapi` and `operations` in it.
    pub documents: &'a Path,
}

impl Claims<'_> {
    /// All that doesn't hold: see the functions beside.
    ///
    /// # Errors
    /// When a document can't be read.
    pub async fn deviations(self) -> std::io::Result<Vec<String>> {
        self.deviations_with(Router::new()).await
    }

    /// The same of a service that serves the routes of `inside` to those that are inside its tunnels.
    ///
    /// # Errors
    /// When a document can't be read.
    pub async fn deviations_with(self, inside: Router) -> std::io::Result<Vec<String>> {
        let file = self.documents.join("openapi").join(format!("{}.json", self.name));
        let mut wrong = routes(self.router, self.routes).await;
        wrong.extend(routes_inside(inside, self.routes).await);
        wrong.extend(document(self.name, self.description, self.routes, &file)?);
        wrong.extend(slugs(self.routes, self.sources));
        let page = std::fs::read_to_string(self.documents.join("operations/metrics.md"))?;
        wrong.extend(metrics(self.name, &self.metrics, self.routes, &page));
        Ok(wrong)
    }
}

/// When this is in the environment, [`document`] writes what it would compare.
pub const WRITE: &str = "CLOAKROOM_WRITE_OPENAPI";

/// Whether `router` serves exactly the routes in the table, by exactly these methods; but for those that are served
/// inside tunnels only.
pub async fn routes(router: Router, routes: &'static [Route]) -> Vec<String> {
    routes_on(Side::Outside, router, routes).await
}

/// Whether `router` serves exactly the routes in the table that are served inside tunnels, by exactly these methods.
pub async fn routes_inside(router: Router, routes: &'static [Route]) -> Vec<String> {
    routes_on(Side::Inside, router, routes).await
}

async fn routes_on(side: Side, router: Router, routes: &'static [Route]) -> Vec<String> {
    let mut documented: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for route in routes.iter().filter(|route| route.side() == side) {
        let method = if route.method == Method::Get { "GET" } else { "POST" };
        documented.entry(route.path).or_default().insert(method);
    }
    let operators = routes.iter().filter(|route| route.access == Access::Operator);
    let of_operators: BTreeSet<&str> = operators.map(|route| route.path).collect();
    let mut wrong = Vec::new();
    let mut served = paths(&router);
    if side == Side::Outside {
        // The edge serves these for whoever doesn't.
        served.extend([HEALTH, METRICS].map(str::to_owned));
    }
    let named: BTreeSet<_> = documented.keys().map(|path| (*path).to_owned()).collect();
    wrong.extend(served.difference(&named).map(|path| format!("{path} isn't documented")));
    wrong.extend(named.difference(&served).map(|path| format!("{path} isn't served")));
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let router = edge(router, &ServeConfig { routes, ..ServeConfig::new(listen) }, side);
    for (path, methods) in documented {
        let uri = path.replace(['{', '}'], "");
        for method in [HttpMethod::GET, HttpMethod::POST, HttpMethod::PUT, HttpMethod::DELETE] {
            let Ok(request) = Request::builder().method(&method).uri(&uri).body(Body::empty())
            else {
                wrong.push(format!("{path} can't be asked for"));
                continue;
            };
            let Ok(response) = router.clone().oneshot(request).await;
            // What is the operator's says nothing to others, not even that.
            let closed = !methods.contains(method.as_str())
                && response.status() == StatusCode::UNAUTHORIZED
                && of_operators.contains(path);
            let refused = response.status() == StatusCode::METHOD_NOT_ALLOWED || closed;
            // A handler's own 404 is about what the path names.
            let stray = response.status() == StatusCode::NOT_FOUND
                && response
                    .extensions()
                    .get()
                    .is_none_or(|crate::problem::Slug(slug)| *slug == "not-found");
            if methods.contains(method.as_str()) && (refused || stray) {
                wrong.push(format!("{method} {path} is documented and gets {}", response.status()));
            }
            if !methods.contains(method.as_str()) && !refused {
                wrong.push(format!(
                    "{method} {path} isn't documented and gets {}",
                    response.status()
                ));
            }
        }
    }
    wrong
}

/// The paths of a router: axum tells them to nobody but debuggers.
fn paths(router: &Router) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let quoted = text.split('"').skip(1).step_by(2);
    // `/` and the other stand for its fallback.
    let of_axum = |text: &&str| *text == "/" || text.contains("__private__");
    quoted.filter(|text| text.starts_with('/') && !of_axum(text)).map(str::to_owned).collect()
}

/// Whether the OpenAPI document at `path` is what the table makes.
///
/// # Errors
/// When the table makes no document, or the file can't be read or written.
pub fn document(
    name: &str,
    description: &str,
    routes: &[Route],
    path: &Path,
) -> std::io::Result<Vec<String>> {
    let mut made = serde_json::to_string_pretty(&openapi(name, description, routes)?)?;
    made.push('\n');
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, &made)?;
    }
    let kept = std::fs::read_to_string(path)?;
    if kept == made {
        return Ok(Vec::new());
    }
    Ok(vec![format!("{} isn't what the code makes: run the test with {WRITE}=1", path.display())])
}

/// Whether the problems in the table are those that the sources name: each source is the text of a file whose
/// strings of the form `"a-slug"` are all slugs.
#[must_use]
pub fn slugs(routes: &[Route], sources: &[&str]) -> Vec<String> {
    let of_routes = routes.iter().flat_map(|route| problems(route).into_values().flatten());
    let documented: BTreeSet<&str> = of_routes.filter(|slug| !of_edge(slug)).collect();
    let everything = sources.concat();
    let quoted = everything.split('"').filter(|text| text.contains('-') && is_slug(text));
    let named: BTreeSet<&str> = quoted.filter(|slug| !of_edge(slug)).collect();
    let unsaid = named.difference(&documented).map(|slug| format!("{slug} isn't documented"));
    let unknown = documented.iter().filter(|slug| !everything.contains(&format!("\"{slug}\"")));
    let unknown = unknown.map(|slug| format!("{slug} is documented and nowhere in the code"));
    unsaid.chain(unknown).collect()
}

fn of_edge(slug: &str) -> bool {
    EDGE_PROBLEMS.iter().chain(JSON_PROBLEMS).any(|(_, known)| *known == slug)
        || slug == "operator-only"
}

fn is_slug(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// Whether the families that `metrics` would show are those that `document` (Markdown) has for this service: rows
/// of tables whose first cell is a name in backticks and whose second is the kind. Names must follow Prometheus'
/// conventions. The document's rows for the service stand under a heading with its `name` or `Every service`.
#[must_use]
pub fn metrics(
    name: &str,
    metrics: &Metrics,
    routes: &'static [Route],
    document: &str,
) -> Vec<String> {
    // The edge and the server register their own.
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let metrics = metrics.clone();
    let config = ServeConfig { routes, metrics: metrics.clone(), ..ServeConfig::new(listen) };
    let _ = edge(Router::new(), &config, Side::Outside);
    let _ = crate::measure::connections_refused(&metrics);
    let mut served = BTreeMap::new();
    let mut wrong = Vec::new();
    for (named, kind) in metrics.named() {
        served.insert(named.name.to_owned(), kind);
        wrong.extend(unconventional(named.name, kind));
    }
    let documented = documented(name, document);
    for (name, kind) in &served {
        match documented.get(name) {
            None => wrong.push(format!("{name} isn't documented")),
            Some(said) if *said != format!("{kind:?}").to_lowercase() => {
                wrong.push(format!("{name} is documented as a {said}"));
            }
            Some(_) => {}
        }
    }
    let missing = documented.keys().filter(|name| !served.contains_key(*name));
    wrong.extend(missing.map(|name| format!("{name} is documented and not served")));
    wrong
}

fn documented(service: &str, document: &str) -> BTreeMap<String, String> {
    let mut here = false;
    let mut found = BTreeMap::new();
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            here = heading == "Every service" || heading == service;
        }
        let mut cells = line.split('|').skip(1).map(str::trim);
        if let (true, Some(first), Some(kind)) = (here, cells.next(), cells.next())
            && let Some(name) = first.strip_prefix('`').and_then(|name| name.strip_suffix('`'))
        {
            found.insert(name.to_owned(), kind.to_owned());
        }
    }
    found
}

/// <https://prometheus.io/docs/practices/naming/>: a prefix, lower case, `_total` for counters and for these
/// only, base units.
fn unconventional(name: &str, kind: Kind) -> Option<String> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let total = name.ends_with("_total");
    let base = !["_milliseconds", "_ms", "_kilobytes", "_minutes", "_hours"]
        .iter()
        .any(|unit| name.ends_with(unit));
    let timed = kind != Kind::Histogram || name.ends_with("_seconds");
    let fits = name.starts_with("cloakroom_") && plain && base && timed;
    (!fits || total != (kind == Kind::Counter)).then(|| format!("{name} is no conventional name"))
}
