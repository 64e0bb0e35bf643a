//! Time no finer than needed, and secrets that wipe themselves.
//!
//! A moment that two tables share joins their rows, so what is stored or sent is an [`Epoch`], an
//! [`Hour`] or a [`Week`], and the type says which. [`UnixTime`] exists only in passing: it comes from
//! a [`Clock`] that `main` hands down, and nothing writes it into a row that must stay unlinkable.

mod entropy;
mod secret;
mod time;

pub use entropy::{SystemRng, system_rng};
pub use secret::{Secret, SecretText};
pub use time::{Clock, Epoch, FixedClock, Hour, SystemClock, UnixTime, Week};
