//! A software security module for development.
//!
//! On AWS the hypervisor measures an enclave's image, starts it and signs what it attests. Elsewhere this
//! process does the same for a program: it reads the executable once into sealed memory, measures
//! those bytes, runs those bytes, and answers the running program over a stream it was started with. For an image that somebody
//! boots in a virtual machine it measures the image and answers on a socket, which the machine's monitor hands on.
//! Its documents have the very form of AWS's, under a root whose subject says UNTRUSTED DEVELOPMENT: anybody who
//! runs it could attest to anything.

mod launch;
mod module;
mod state;

pub use launch::{Measured, Started};
pub use module::DevelopmentModule;
pub use state::{State, StateError};
