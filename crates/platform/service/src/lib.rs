//! How every HTTP service here starts, answers, fails and stops.
//!
//! - [`Server`] binds, serves an axum router within limits, and drains on SIGTERM.
//! - [`Inside`] serves routes that are there inside peers' tunnels only.
//! - [`Route`] says what each route takes, gives and may cost: it is limited, counted and documented
//!   ([`openapi`()]) by that.
//! - [`run_program`] is the shell of each program: its runtime and its exit status.
//! - [`ProgramClock`] is what each program takes its time from, [`sleep_until`] waits by it.
//! - [`Problem`] is what every failure looks like from outside (RFC 9457).
//! - [`Json`] reads and writes bodies without echoing them.
//! - [`HttpClient`] asks other services; [`BaseUrl`] says where they are (the crate `http-client`).
//! - [`operator_only`] guards an operator's routes; [`browser_readable`] opens routes to web pages.
//!
//! What a request says is nobody's business but its handler's: the log gets method, route pattern and
//! status, and no handler is told the peer's network address.

mod clock;
pub mod contract;
mod edge;
mod inside;
mod json;
mod limits;
mod measure;
mod openapi;
mod operator;
mod problem;
mod program;
mod route;
mod server;
mod serving;

pub use http_client::{
    BadBaseUrl, BaseUrl, ClientConfig, ClientError, HttpClient, ReceivedProblem, parse, to_json,
};

pub use clock::{ProgramClock, sleep_until};
pub use edge::browser_readable;
pub use inside::{Handed, Inside};
pub use json::Json;
pub use limits::{Class, HEAVY, LIGHT, PROBE};
pub use openapi::openapi;
pub use operator::{OperatorSecret, WeakSecret, operator_only};
pub use problem::Problem;
pub use program::{CouldNotTry, run_program};
pub use record::{Steps, Tap};
pub use route::{
    Access, Body, EDGE_PROBLEMS, HEALTH_ROUTE, METRICS_ROUTE, Method, Problems, Route, SMALL_BODY,
};
pub use server::{ServeConfig, ServeError, Server};
