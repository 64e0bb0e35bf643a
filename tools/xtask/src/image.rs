//! `cargo xtask image` and `cargo xtask microvm`: the enclave's image, built and tried.

use std::io::Write as _;

use anyhow::Result;
use enclave_image::{BootArguments, MakeArguments};

use crate::programs;

/// Makes the image; whether two builds, if two were asked for, are the same.
pub(crate) fn make(arguments: &MakeArguments) -> Result<bool> {
    enclave_image::make(arguments, &say)
}

/// Makes an image for a virtual machine without Nitro's hypervisor, boots it and has it attest; likewise.
pub(crate) fn boot(arguments: &BootArguments) -> Result<bool> {
    let packages = ["--package", "nsm", "--package", "parent"];
    let build = ["build", "--release", "--locked", "--bins"];
    programs::cargo(&[&build[..], &packages].concat())?;
    enclave_image::boot(arguments, &programs::directory()?, &say)
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
