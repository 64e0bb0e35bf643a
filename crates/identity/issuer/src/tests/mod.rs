//! The service as its callers see it, and its files as a thief would.

mod conformance;
mod documented;
mod draws;
mod erasure;
mod model;
mod places;
mod refusals;
mod room;
