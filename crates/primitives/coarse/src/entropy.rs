//! Randomness from the operating system, in the shape that the rest takes as a parameter.

/// The operating system's generator as a `rand_core::CryptoRng`. It panics when the system can't give
/// randomness: nothing in this project may go on without it.
pub type SystemRng = rand_core::UnwrapErr<getrandom::SysRng>;

/// The operating system's generator. `main` hands it down; pure code takes any `CryptoRng`.
#[must_use]
pub const fn system_rng() -> SystemRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}
