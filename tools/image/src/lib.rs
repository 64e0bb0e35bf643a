//! The enclave's image: built so that anybody who builds it gets the same bytes, and booted in a virtual machine to try it.
//!
//! An image is a kernel, its command line and two ramdisks. The first (PCR1, with the kernel) holds `cloakroom-init` and kernel modules, the
//! second (PCR2) the enclave's program and its arguments; PCR0 is all of it. Nothing else is in it: no shell, no library, no tool.
//!
//! - [`Recipe`]: from the parts to an image;
//! - [`make()`]: `cargo xtask image`;
//! - [`boot()`]: `cargo xtask microvm`.

mod cpio;
mod kernel;
mod make;
mod microvm;
mod parent;
mod process;
mod recipe;

pub use make::{MakeArguments, make};
pub use microvm::{BootArguments, boot};
pub use recipe::Recipe;
