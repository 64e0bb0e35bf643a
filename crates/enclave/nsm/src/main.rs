//! `cloakroom-nsm`: measures an enclave's executable, starts it, and is its security module.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use nsm::{DevelopmentModule, Measured, State};

/// UNTRUSTED DEVELOPMENT security module: measures an enclave's executable, starts it, and attests to it.
#[derive(Parser)]
#[command(name = "cloakroom-nsm", version)]
struct Arguments {
    /// The enclave's executable.
    #[arg(long)]
    enclave: PathBuf,
    /// The Unix socket on which the enclave is to listen for its parent.
    #[arg(long)]
    listen: PathBuf,
    /// Where the module keeps its root and wrapping secret.
    #[arg(long)]
    state: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let state = State::open(&arguments.state)?;
    let measured = Measured::load(&arguments.enclave)
        .with_context(|| format!("cannot read {}", arguments.enclave.display()))?;
    report(&format!(
        "UNTRUSTED DEVELOPMENT security module; PCR0 {}",
        hex::encode(measured.pcr0())
    ));
    let mut started = measured
        .start(&[OsStr::new("--listen"), arguments.listen.as_os_str()])
        .context("cannot start the enclave")?;
    let mut module = DevelopmentModule::new(state, *measured.pcr0());
    let served = module.serve(&mut started.stream);
    drop(started.stream);
    let status = started.child.wait().context("the enclave is gone")?;
    served.context("the stream to the enclave broke")?;
    anyhow::ensure!(status.success(), "the enclave ended with {status}");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "progress of a program without other output")]
fn report(message: &str) {
    eprintln!("cloakroom-nsm: {message}");
}
