//! PostgreSQL servers of one's own: made from nothing, on a Unix socket that only this user reaches, and gone when they
//! aren't needed any more.
//!
//! - [`shared()`]: one server for all tests of a test program, with a [`Database`] for each;
//! - [`Cluster`]: a server that is stopped, killed and started again, or left to others.
//!
//! A server that a test or a demonstration started ends with its process, however that comes. PostgreSQL doesn't run as root: then
//! it runs as another user ([`Programs::user`]).
//!
//! A service opens no database of the other side's server, since one server keeps one log of everything: a provider takes two of these.

mod cluster;
mod family;
mod programs;
mod shared;

pub use cluster::{Cluster, Database, Options};
pub use programs::{Programs, User};
pub use shared::shared;
