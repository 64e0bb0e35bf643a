//! What a person holds, and the file that keeps it.
//!
//! The way to a dedicated IP is a row of states: [`Drawing`] → [`Drawn`] → [`Leased`]. A step consumes one state and gives the
//! next, and does no I/O; the [`WalletFile`] keeps each state on disk before anything that depends on it is
//! sent, so that a crash or a lost answer loses no token. A step that is repeated comes to the same end. Another device's lease is taken
//! from its [`Backup`]: [`Restored`] → [`Leased`].

mod backup;
mod draw;
mod file;
mod held;
mod lease_state;
mod restored;

pub use backup::Backup;
pub use draw::{Blinded, DrawError, Drawing, Drawn};
pub use file::{WalletError, WalletFile};
pub use held::{DeviceKey, HeldSrt, Trust, Wallet};
pub use lease_state::{AnswerError, Dip, Leased, Sealed};
pub use restored::Restored;
