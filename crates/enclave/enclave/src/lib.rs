//! The enclave: a stream in, a security module beside it, and a mint.
//!
//! No database, no network, no log: it holds keys and a configuration from boot to exit and nothing of any
//! request. What it decides is in `minting`; this crate gives it a stream, keys and the module's time.
//!
//! The same program runs in a Nitro enclave (vsock, the hypervisor's module), in another virtual machine and as a process of a
//! developer's machine (a Unix socket, a software module); its arguments say which, and in an image they are measured.

mod arguments;
mod clock;
mod module;
mod nitro_module;
mod server;
mod stream;

pub use module::{KeySource, Machine, ModuleError, SecurityModule, StreamModule, Unkept};
pub use nitro_module::{Device, NitroModule, NsmDevice};
pub use server::{Enclave, serve};
pub use stream::{Listener, Stream};

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;

use minting::Observer;

use crate::arguments::{Arguments, ModuleChoice, USAGE};

/// The whole program.
pub fn run(observer: impl Observer + 'static) -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args_os().skip(1)) else {
        return fail(USAGE);
    };
    if let Err(error) = lock_down() {
        return fail(&format!("the process could not be locked down: {error}"));
    }
    let module = match &arguments.module {
        ModuleChoice::Nitro => {
            return match nitro_module() {
                Ok(module) => serve_with(&arguments, Machine { module, keys: Unkept }, observer),
                Err(error) => fail(&format!("/dev/nsm: {error}")),
            };
        }
        ModuleChoice::Stdin => std::io::stdin().as_fd().try_clone_to_owned().map(Stream::inherited),
        ModuleChoice::At(address) => Stream::connect(address),
    };
    match module {
        Ok(stream) => serve_with(&arguments, StreamModule::new(stream), observer),
        Err(error) => fail(&format!("no security module: {error}")),
    }
}

/// The hypervisor's module, after the kernel got of its randomness.
fn nitro_module() -> Result<NitroModule, ModuleError> {
    let module = NitroModule::new(NsmDevice::open()?)?;
    let pool = std::fs::OpenOptions::new().write(true).open("/dev/random");
    module.seed(&mut pool.map_err(|_| ModuleError::Silent)?)?;
    Ok(module)
}

fn serve_with<M, O>(arguments: &Arguments, module: M, observer: O) -> ExitCode
where
    M: SecurityModule + KeySource + 'static,
    O: Observer + 'static,
{
    match Listener::bind(&arguments.listen) {
        Ok(listener) => serve(&listener, &Arc::new(Enclave::new(module, observer))),
        Err(error) => fail(&format!("cannot listen on {}: {error}", arguments.listen)),
    }
}

/// No core file, no tracer, no file or socket for other users, no life without the process that measured and
/// started it.
fn lock_down() -> std::io::Result<()> {
    use rustix::process::{
        DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
        set_parent_process_death_signal, setrlimit,
    };
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the one place that tells why the program can't start")]
fn fail(message: &str) -> ExitCode {
    eprintln!("cloakroom-enclave: {message}");
    ExitCode::from(2)
}
