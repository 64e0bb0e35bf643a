//! Asking services over HTTP/1.1: the one client that the user's program and the services share.
//!
//! It reaches loopback only (plain HTTP is refused elsewhere), unless a tunnel's proxy takes it further; it opens a connection for each request, keeps no
//! cookies, follows no redirects, and bounds everything that comes back.

mod base_url;
mod client;
mod problem;
mod proxy;
mod stream;

pub use base_url::{BadBaseUrl, BaseUrl};
pub use client::{ClientConfig, ClientError, HttpClient, parse, to_json};
pub use problem::{PROBLEM_JSON, PROBLEM_TYPES, ReceivedProblem};
pub use stream::Stream;
