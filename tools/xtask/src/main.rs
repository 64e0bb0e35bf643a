//! The chores of the workshop: `cargo xtask CHORE`.
//!
//! Exit status: 0 done, 1 the check failed, 2 it couldn't be tried.

mod audit;
#[cfg(test)]
mod claims;
mod fuzz;
mod image;
mod layers;
mod needs;
mod programs;
mod release;
mod supply;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of the workshop")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check who depends on whom against layers.toml
    Layers(layers::Arguments),
    /// Find out who learned what in a real run, and whether both sides' disks can be paired
    Audit(audit::Arguments),
    /// Check licences and sources of all dependencies against deny.toml
    Deny(supply::deny::Arguments),
    /// Write the licences of everything linked into a program
    Notices(supply::Arguments),
    /// Write a program's software bill of materials (CycloneDX 1.5, JSON)
    Sbom(supply::Arguments),
    /// Build the enclave's image, the same bytes each time, and say what it measures to
    Image(enclave_image::MakeArguments),
    /// Boot the enclave's image in a virtual machine and have it attest (needs QEMU and vhost-device-vsock)
    Microvm(enclave_image::BootArguments),
    /// Build the client that is published, the same bytes each time, and say what they are
    Release(release::Arguments),
    /// Run the decoders' fuzz targets
    Fuzz(fuzz::Arguments),
    /// Build every program and run every test
    Test(test::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Layers(arguments) => layers::run(&arguments),
        Chore::Audit(arguments) => audit::run(&arguments),
        Chore::Deny(arguments) => supply::deny::run(&arguments),
        Chore::Notices(arguments) => supply::notices(&arguments),
        Chore::Sbom(arguments) => supply::sbom(&arguments),
        Chore::Image(arguments) => image::make(&arguments),
        Chore::Microvm(arguments) => image::boot(&arguments),
        Chore::Release(arguments) => release::run(&arguments),
        Chore::Fuzz(arguments) => fuzz::run(&arguments),
        Chore::Test(arguments) => test::run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

/// One line to stderr. If even that fails, the exit status says enough.
fn complain(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
