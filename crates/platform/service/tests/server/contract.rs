//! That what holds services to their documents finds what doesn't hold.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};
use coarse::{FixedClock, UnixTime};
use service::contract;
use service::{Access, Body, HEALTH_ROUTE, METRICS_ROUTE, Route};
use telemetry::{Metrics, Named, Pace};

const TEXT: Body = Body::bytes("text/plain");

static ROUTES: [Route; 4] = [
    Route::get("/a", "Is read.", TEXT).fails(&[&[(409, "is-taken")]]),
    Route::post("/b/{name}", "Does something.", TEXT),
    HEALTH_ROUTE,
    METRICS_ROUTE,
];

fn good() -> Router {
    Router::new().route("/a", get(|| async {})).route("/b/{name}", post(|| async {}))
}

#[tokio::test]
async fn routes_that_differ_are_found() {
    assert_eq!(contract::routes(good(), &ROUTES).await, [""; 0]);
    let more = good().route("/c", get(|| async {}));
    assert_eq!(contract::routes(more, &ROUTES).await, ["/c isn't documented"]);
    let fewer = Router::new().route("/a", get(|| async {}));
    assert_eq!(
        contract::routes(fewer, &ROUTES).await,
        [
            "/b/{name} isn't served",
            "GET /b/{name} isn't documented and gets 404 Not Found",
            "POST /b/{name} is documented and gets 404 Not Found",
            "PUT /b/{name} isn't documented and gets 404 Not Found",
            "DELETE /b/{name} isn't documented and gets 404 Not Found",
        ]
    );
    let other = Router::new().route("/a", post(|| async {})).route("/b/{name}", any(|| async {}));
    let wrong = contract::routes(other, &ROUTES).await;
    assert_eq!(
        wrong,
        [
            "GET /a is documented and gets 405 Method Not Allowed",
            "POST /a isn't documented and gets 200 OK",
            "GET /b/{name} isn't documented and gets 200 OK",
            "PUT /b/{name} isn't documented and gets 200 OK",
            "DELETE /b/{name} isn't documented and gets 200 OK",
        ]
    );
}

/// What is served on the wrong side is not documented there.
#[tokio::test]
async fn routes_inside_are_apart() {
    static BOTH: [Route; 4] = [
        Route::get("/a", "Is read.", TEXT),
        Route::get("/in", "Is read inside.", TEXT).with(Access::Tunnel("http://100.64.0.1:1")),
        HEALTH_ROUTE,
        METRICS_ROUTE,
    ];
    let (out, within) = (Router::new(), Router::new());
    let (out, within) = (out.route("/a", get(|| async {})), within.route("/in", get(|| async {})));
    assert_eq!(contract::routes(out.clone(), &BOTH).await, [""; 0]);
    assert_eq!(contract::routes_inside(within.clone(), &BOTH).await, [""; 0]);
    let both = out.merge(within);
    assert!(contract::routes(both.clone(), &BOTH).await.contains(&"/in isn't documented".into()));
    assert_eq!(contract::routes_inside(both, &BOTH).await, ["/a isn't documented"]);
    let missing = contract::routes_inside(Router::new(), &BOTH).await;
    assert!(missing.contains(&"/in isn't served".to_owned()));
    let document = serde_json::to_value(service::openapi("a", "A.", &BOTH).unwrap()).unwrap();
    assert_eq!(document["paths"]["/in"]["get"]["servers"][0]["url"], "http://100.64.0.1:1");
    assert!(document["paths"]["/a"]["get"]["servers"].is_null());
}

#[test]
fn a_document_that_differs_is_found() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("a.json");
    let document = service::openapi("a", "A.", &ROUTES).unwrap();
    let text = serde_json::to_string_pretty(&document).unwrap();
    std::fs::write(&path, format!("{text}\n")).unwrap();
    assert_eq!(contract::document("a", "A.", &ROUTES, &path).unwrap(), [""; 0]);
    if std::env::var_os(contract::WRITE).is_none() {
        std::fs::write(&path, text.replace("/b/{name}", "/b/{other}")).unwrap();
        assert_eq!(contract::document("a", "A.", &ROUTES, &path).unwrap().len(), 1);
    }
    assert!(text.contains("\"openapi\": \"3.1.0\"") && text.contains("/problems/is-taken"));
}

#[test]
fn slugs_that_differ_are_found() {
    let code = r#"Problem::new(CONFLICT, "is-taken", "It is taken")"#;
    assert_eq!(contract::slugs(&ROUTES, &[code]), [""; 0]);
    let more = format!("{code} Problem::new(GONE, \"is-gone\", \"\")");
    assert_eq!(contract::slugs(&ROUTES, &[&more]), ["is-gone isn't documented"]);
    assert_eq!(
        contract::slugs(&ROUTES, &["\"something\""]),
        ["is-taken is documented and nowhere in the code"]
    );
}

#[test]
fn metrics_that_differ_are_found() {
    let metrics = Metrics::new(Arc::new(FixedClock::new(UnixTime::from_seconds(0))));
    let every = "## Every service\n\
        | `cloakroom_http_requests_total` | counter |\n| `cloakroom_http_problems_total` | counter |\n\
        | `cloakroom_http_handler_duration_seconds` | histogram |\n\
        | `cloakroom_http_shed_total` | counter |\n| `cloakroom_http_failures_total` | counter |\n\
        | `cloakroom_process_start_time_seconds` | gauge |\n## other\n| `cloakroom_other` | gauge |\n";
    let check = |page: &str| contract::metrics("mine", &metrics, &ROUTES, page);
    assert_eq!(check(every), [""; 0]);
    let less = every.replace("`cloakroom_http_shed_total`", "");
    assert_eq!(check(&less), ["cloakroom_http_shed_total isn't documented"]);
    let more = format!("{every}## mine\n| `cloakroom_more_total` | counter |\n");
    assert_eq!(check(&more), ["cloakroom_more_total is documented and not served"]);
    let other = every.replace("seconds` | gauge", "seconds` | counter");
    let said = "cloakroom_process_start_time_seconds is documented as a counter";
    assert_eq!(check(&other), [said]);
    // Another name than Prometheus' conventions allow.
    let odd = Named { name: "draws", help: "Odd.", pace: Pace::Hourly };
    let _ = metrics.counter(odd, &[]);
    let page = format!("{every}## mine\n| `draws` | counter |\n");
    assert_eq!(check(&page), ["draws is no conventional name"]);
}
