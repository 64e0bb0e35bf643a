//! The service over HTTP, and its store on each kind of database.

mod conformance;
mod http;
mod model;
mod places;
