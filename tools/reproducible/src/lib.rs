//! Programs built so that place and time don't show in them: the same sources and tools give anybody the same bytes.
//!
//! - [`Order`]: which programs, for which machine, with which C library; built once or, to see that it holds, twice;
//! - [`Difference`]: where two builds part;
//! - [`Tools`] and [`Commit`]: what somebody else has to take for the same bytes.

mod compare;
mod environment;
mod order;
mod process;
mod sources;
mod tools;

pub use compare::Difference;
pub use order::{Built, CLibrary, Order, Program, remove};
pub use process::output;
pub use sources::Commit;
pub use tools::{Tools, host};
