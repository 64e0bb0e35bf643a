//! The enclave: a stream in, a security module beside it, and a mint.
//!
//! No database, no network, no log: it holds keys and a configuration from boot to exit and nothing of any
//! request. What it decides is in `minting`; this crate gives it a stream, keys and the module's time.

mod clock;
mod module;
mod server;

pub use module::{ModuleError, SecurityModule, StreamModule};
pub use server::{Enclave, serve};

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The whole program: `--listen PATH`, with the security module's stream as standard input.
pub fn run(observer: impl minting::Observer + 'static) -> ExitCode {
    let Some(path) = listen_argument() else {
        return fail("usage: cloakroom-enclave --listen SOCKET (started by its security module)");
    };
    if let Err(error) = lock_down() {
        return fail(&format!("the process could not be locked down: {error}"));
    }
    let stream = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(stream) => UnixStream::from(stream),
        Err(error) => return fail(&format!("no security module on standard input: {error}")),
    };
    let listener = match listen(&path) {
        Ok(listener) => listener,
        Err(error) => return fail(&format!("cannot listen on {}: {error}", path.display())),
    };
    serve(&listener, &Arc::new(Enclave::new(StreamModule::new(stream), observer)))
}

fn listen_argument() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(flag), Some(path), None) if flag == "--listen" => Some(path.into()),
        _ => None,
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

/// Listens on `path` for this user alone; a socket that a former run left is replaced.
fn listen(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[expect(clippy::print_stderr, reason = "the one place that tells why the program can't start")]
fn fail(message: &str) -> ExitCode {
    eprintln!("cloakroom-enclave: {message}");
    ExitCode::from(2)
}
