//! Every decoder that meets the outside, with what must hold of it for any input.
//!
//! A [`Target`] is a function that takes any bytes, hands them to one of the project's decoders and panics when
//! something doesn't hold: beyond not panicking itself, what was decoded encodes to the same bytes, an oracle that we
//! didn't write reads the same, a second path comes to the same end, and nothing outgrows its bounds. libFuzzer runs the
//! functions through the package in `fuzz/`; the test in `tests/replay.rs` runs them on every input in `fuzz/corpus`.
//!
//! Where a signature or a seal stands before a decoder, the input is what is behind it: the target signs or seals it with
//! a key of `fixture`, so that mutations reach the decoder. Keys, clock and randomness are fixed: an input does
//! the same each time.

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is how a target reports, to libFuzzer and to a test alike"
)]

mod fixture;
mod input;
mod targets;

use std::path::PathBuf;

/// A decoder and what must hold of it.
pub struct Target {
    /// Its name: that of its file in `fuzz/fuzz_targets`, its corpus and its dictionary.
    pub name: &'static str,
    /// Takes any bytes; panics when something doesn't hold.
    pub check: fn(&[u8]),
    /// Good inputs to begin with: vectors, and what the code itself writes.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        /// Every target, by name.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            check: targets::$name::check,
            seeds: targets::$name::seeds,
        }),*];

        $(
            #[doc = concat!("The target `", stringify!($name), "`.")]
            pub fn $name(input: &[u8]) {
                targets::$name::check(input);
            }
        )*
    };
}

targets! {
    address_plan,
    attestation,
    backup,
    cbor,
    config,
    cose,
    dns,
    envelope,
    frames,
    http_bodies,
    imports,
    jwt,
    packets,
    privacy_pass,
    proxy,
    tunnel,
    urls,
    wallet,
    wireguard_control,
    x509,
}

/// The `fuzz` directory of this repository.
#[must_use]
pub fn fuzz_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}
