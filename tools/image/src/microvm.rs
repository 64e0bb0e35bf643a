//! `cargo xtask microvm`: boots the enclave's image in a virtual machine and has it attest through the parent.
//!
//! QEMU's vsock device is vhost-device-vsock, which serves the machine's ports on a Unix socket: this needs no root, no vsock on the
//! host and no hardware virtualisation. The machine has no Nitro hypervisor, so the software security module measures the image and
//! answers on the port that the enclave asks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use eif::Image;

use crate::make::{MakeArguments, make_with};
use crate::parent;
use crate::process::Running;

/// The host, from inside the machine.
const HOST_CID: u32 = 2;
/// The machine's own number. It means nothing outside.
const GUEST_CID: u32 = 16;
/// The port on which the software module is asked.
const MODULE_PORT: u32 = 5006;
const MEMORY: &str = "512M";
/// How long programs on the host may take to listen.
const START: Duration = Duration::from_secs(30);
/// What is needed when a program is missing.
const NEEDS: &str = "this needs QEMU (Debian: apt-get install --no-install-recommends qemu-system-x86) and vhost-device-vsock \
     (cargo install vhost-device-vsock --version 0.3.0 --locked)";

/// How the image is booted.
#[derive(Args)]
pub struct BootArguments {
    #[command(flatten)]
    make: MakeArguments,
    /// QEMU's program
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    /// The program of the vsock device
    #[arg(long, value_name = "PROGRAM", default_value = "vhost-device-vsock")]
    vhost_device_vsock: PathBuf,
    /// How long the machine may take to boot, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    patience: u64,
}

/// Makes the image, boots it, and has it attest; `programs` is where `cloakroom-nsm` and `cloakroom-parent` are. Whether two builds,
/// if two were asked for, are the same; otherwise nothing is booted.
///
/// # Errors
/// When anything doesn't come about: with what the machine's console showed.
pub fn boot(arguments: &BootArguments, programs: &Path, say: &dyn Fn(&str)) -> Result<bool> {
    let module = format!("vsock:{HOST_CID}:{MODULE_PORT}");
    let Some(made) = make_with(&arguments.make, &module, say)? else { return Ok(false) };
    let room = tempfile::tempdir()?;
    let room = room.path();
    let (device, monitor) = (room.join("device"), room.join("machine"));
    let module = start_module(&programs.join("cloakroom-nsm"), &made.file, &monitor, room)?;
    let mut command = Command::new(&arguments.vhost_device_vsock);
    command.args(["--guest-cid", &GUEST_CID.to_string()]);
    command.arg("--socket").arg(&device).arg("--uds-path").arg(&monitor);
    let mut vsock = Running::start("vhost-device-vsock", &mut command, room).context(NEEDS)?;
    vsock.until(START, "listening", |_| device.exists().then_some(()))?;
    let mut command = machine(&arguments.qemu, &made.image, &device, room)?;
    let mut machine = Running::start("qemu", &mut command, room).context(NEEDS)?;
    let patience = Duration::from_secs(arguments.patience);
    let listens = |_: &Running| parent::enclave_listens(&monitor).then_some(());
    machine.until(patience, "booting", listens)?;
    say("the machine is up and the enclave listens");
    let program = programs.join("cloakroom-parent");
    let attested =
        parent::attest(&program, room, &monitor, &made.measurements).with_context(|| {
            format!("the console:\n{}\nthe module:\n{}", machine.said(), module.said())
        })?;
    say(&format!(
        "module {}: the document verifies, PCR0 to PCR2 are the image's",
        attested.module_id
    ));
    Ok(true)
}

/// The software module, on the socket to which the vsock device takes the machine's streams to [`MODULE_PORT`].
fn start_module(program: &Path, image: &Path, monitor: &Path, room: &Path) -> Result<Running> {
    let mut socket = monitor.as_os_str().to_owned();
    socket.push(format!("_{MODULE_PORT}"));
    let socket = PathBuf::from(socket);
    let mut command = Command::new(program);
    command.arg("--image").arg(image).arg("--listen").arg(&socket);
    command.arg("--state").arg(room.join("nsm"));
    let mut module = Running::start("nsm", &mut command, room)?;
    module.until(START, "listening", |_| socket.exists().then_some(()))?;
    Ok(module)
}

/// QEMU with the image's parts: it doesn't know the file.
fn machine(qemu: &Path, image: &Image, device: &Path, room: &Path) -> Result<Command> {
    let (kernel, ramdisks) = (room.join("kernel"), room.join("ramdisks"));
    std::fs::write(&kernel, &image.kernel)?;
    std::fs::write(&ramdisks, image.ramdisks.concat())?;
    let mut command = Command::new(qemu);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(["-serial", "stdio", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", MEMORY]);
    command.args(["-machine", "q35,memory-backend=memory"]);
    command.args(["-object", &format!("memory-backend-memfd,id=memory,size={MEMORY},share=on")]);
    command.arg("-chardev").arg(format!("socket,id=vsock,path={}", device.display()));
    command.args(["-device", "vhost-user-vsock-pci,chardev=vsock"]);
    command.arg("-kernel").arg(&kernel).arg("-initrd").arg(&ramdisks);
    command.args(["-append", &image.command_line]);
    Ok(command)
}
