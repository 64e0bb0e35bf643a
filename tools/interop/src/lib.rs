//! Support for the tests with software that this project didn't write.
//!
//! - [`node`]: the scripts beside this crate, which speak through npm's libraries;
//! - [`demo_file`]: where those find a provider's services;
//! - [`namespace`]: a network namespace with a cable to this host, for who shall not share its network;
//! - [`wireguard`]: a stock WireGuard client in there;
//! - [`web`]: a web server that says who asked.
//!
//! What they need (Node.js and the locked npm packages, WireGuard's tools, root) `cargo xtask test` installs or asks
//! for. Whoever runs a test without gets an error that says so.

pub mod demo_file;
pub mod namespace;
pub mod node;
pub mod web;
pub mod wireguard;
