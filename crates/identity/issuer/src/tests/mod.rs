//! The service as its callers see it, and its files as a thief would.

mod documented;
mod draws;
mod erasure;
mod refusals;
mod room;
