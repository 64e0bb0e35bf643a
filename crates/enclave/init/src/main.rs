//! `cloakroom-init`: the first process of an enclave's machine. It is in the ramdisk that boots (PCR1), makes the machine fit to run
//! the application in the other one (PCR2), and becomes it.
//!
//! 1. mounts `/dev`;
//! 2. loads the kernel modules in [`MODULES`], in the order of their names (on AWS's kernel: `nsm.ko`);
//! 3. tells the parent instance that the machine is up, as Nitro expects it;
//! 4. becomes the program that [`COMMAND`] names. When that ends, the kernel panics and the machine with it.

mod command;

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use vsock::VsockStream;

use crate::command::Command;

/// Kernel modules; with the suffix `.xz` they are loaded compressed, as Debian has them.
const MODULES: &str = "/modules";
/// The program to become and its arguments, one a line.
const COMMAND: &str = "/command";

/// The parent instance, from inside a Nitro enclave.
const PARENT_CID: u32 = 3;
/// Where `nitro-cli` waits for an enclave's sign of life.
const READY_PORT: u32 = 9000;
/// The sign of life; it is echoed.
const READY: u8 = 0xb7;
/// How long the echo may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// `MODULE_INIT_COMPRESSED_FILE` of `finit_module(2)`.
const COMPRESSED: i32 = 4;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        return complain(
            "only the kernel of an enclave's machine starts this, as its first process",
        );
    }
    if let Err(error) = mount_devices() {
        complain(&format!("mounting /dev: {error}"));
    }
    match load_modules(Path::new(MODULES)) {
        Ok(()) => {}
        Err(error) => return complain(&format!("loading the modules in {MODULES}: {error}")),
    }
    // Whoever waits for it ends a machine that doesn't say it is up; elsewhere nobody listens.
    if let Err(error) = say_ready() {
        complain(&format!("no parent instance heard that the machine is up: {error}"));
    }
    match Command::read(Path::new(COMMAND)) {
        Ok(command) => complain(&format!("{COMMAND}: {}", command.become_it())),
        Err(error) => complain(&format!("{COMMAND}: {error}")),
    }
}

fn mount_devices() -> io::Result<()> {
    let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NOEXEC;
    Ok(rustix::mount::mount("dev", "/dev", "devtmpfs", flags, None::<&CStr>)?)
}

fn load_modules(directory: &Path) -> io::Result<()> {
    for path in command::in_order(directory)? {
        let compressed = path.extension().is_some_and(|suffix| suffix == "xz");
        let flags = if compressed { COMPRESSED } else { 0 };
        rustix::system::finit_module(File::open(&path)?, c"", flags)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

fn say_ready() -> io::Result<()> {
    let mut stream = VsockStream::connect_with_cid_port(PARENT_CID, READY_PORT)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[READY])?;
    let mut echo = [0];
    stream.read_exact(&mut echo)?;
    if echo == [READY] { Ok(()) } else { Err(io::Error::other("it answers something else")) }
}

/// To the console, which shows in debug mode only.
#[expect(clippy::print_stderr, reason = "there is nothing else to say it to")]
fn complain(message: &str) -> ExitCode {
    eprintln!("cloakroom-init: {message}");
    ExitCode::from(2)
}
