//! `cloakroom-nsm`: measures an enclave's executable, starts it, and is its security module; or is the module of an image that is
//! booted elsewhere.

use std::ffi::OsStr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use nsm::{DevelopmentModule, Measured, State};

/// UNTRUSTED DEVELOPMENT security module: measures an enclave's executable, starts it, and attests to it.
#[derive(Parser)]
#[command(name = "cloakroom-nsm", version)]
struct Arguments {
    #[command(flatten)]
    measured: What,
    /// The Unix socket on which the enclave is to listen for its parent; with --image, on which the module itself listens for the image.
    #[arg(long)]
    listen: PathBuf,
    /// Where the module keeps its root and wrapping secret.
    #[arg(long)]
    state: PathBuf,
    /// A file with a number of seconds by which the module's clock is ahead: for rehearsals.
    #[arg(long, value_name = "FILE")]
    ahead: Option<PathBuf>,
}

/// What is measured.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The enclave's executable, to be started.
    #[arg(long)]
    enclave: Option<PathBuf>,
    /// An enclave image. Whoever reaches the socket is taken for it: start the image yourself.
    #[arg(long, value_name = "EIF")]
    image: Option<PathBuf>,
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
    match &arguments.measured {
        What { image: Some(image), .. } => attest_to(image, arguments, state),
        What { enclave: Some(enclave), .. } => start(enclave, arguments, state),
        What { .. } => anyhow::bail!("nothing to measure"),
    }
}

/// Starts the executable and is its module until it ends.
fn start(enclave: &Path, given: &Arguments, state: State) -> anyhow::Result<()> {
    let measured =
        Measured::load(enclave).with_context(|| format!("cannot read {}", enclave.display()))?;
    say_who_speaks(measured.pcr0());
    let arguments = ["--module", "stdin", "--listen"].map(OsStr::new);
    let mut started = measured
        .start(&[&arguments[..], &[given.listen.as_os_str()]].concat())
        .context("cannot start the enclave")?;
    let module = DevelopmentModule::new(state, *measured.pcr0());
    let mut module = module.ahead_by(given.ahead.clone());
    let served = module.serve(&mut started.stream);
    drop(started.stream);
    let status = started.child.wait().context("the enclave is gone")?;
    served.context("the stream to the enclave broke")?;
    anyhow::ensure!(status.success(), "the enclave ended with {status}");
    Ok(())
}

/// Is the module of an image, one stream after another, until told to stop.
fn attest_to(image: &Path, given: &Arguments, state: State) -> anyhow::Result<()> {
    let listen = &given.listen;
    let file = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let measurements = eif::Image::decode(&file)
        .with_context(|| format!("{} can't be measured", image.display()))?
        .measurements();
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let listener = UnixListener::bind(listen)
        .with_context(|| format!("cannot listen on {}", listen.display()))?;
    say_who_speaks(&measurements.pcr0);
    let module = DevelopmentModule::of_image(state, &measurements);
    let mut module = module.ahead_by(given.ahead.clone());
    loop {
        let (mut stream, _) = listener.accept()?;
        // A stream that breaks is the other end's affair: the next machine gets its module, too.
        if let Err(error) = module.serve(&mut stream) {
            report(&format!("a stream broke: {error}"));
        }
    }
}

fn say_who_speaks(pcr0: &[u8; 48]) {
    report(&format!("UNTRUSTED DEVELOPMENT security module; PCR0 {}", hex::encode(pcr0)));
}

#[expect(clippy::print_stderr, reason = "progress of a program without other output")]
fn report(message: &str) {
    eprintln!("cloakroom-nsm: {message}");
}
