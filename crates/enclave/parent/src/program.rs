//! The command line, and the enclave's boot.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Parser, Subcommand};
use coarse::{Clock as _, SystemClock};
use jws::VerifyingKey;
use key_ring::{Fresh, Key, KeysCommand, Ring, RingFile, Role, Rules, Standing};
use record::Tap;
use service::{CouldNotTry, ProgramClock, ServeConfig, Server};
use telemetry::{LogTarget, Metrics};
use trail::{Operator, TrailCommand};
use wire::frame::Message as _;
use wire::parent::{Answer, Failure, Request};
use wire::{AddressError, StreamAddress};
use zeroize::Zeroizing;

use crate::{Link, ROUTES, router};

/// The enclave's parent: carries requests to the enclave and answers back.
#[derive(Parser)]
#[command(name = "cloakroom-parent", version)]
struct Arguments {
    /// Where the enclave's wrapped minting key is kept.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(flatten)]
    operator: Operator,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boots the enclave and serves until told to stop.
    Serve {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:3002")]
        listen: SocketAddr,
        /// Where the enclave listens: the path of a Unix socket, vsock:CID:PORT, or hybrid-vsock:PATH:PORT.
        #[arg(long, value_name = "ADDRESS", value_parser = OsStringValueParser::new().try_map(address))]
        enclave: StreamAddress,
        /// The boot configuration: whom the enclave is to believe. It is measured, byte for byte.
        #[arg(long, value_name = "FILE")]
        boot_configuration: PathBuf,
        /// Where the log goes: `stderr`, or a file.
        #[arg(long, default_value = "stderr")]
        log: LogTarget,
    },
    /// The enclave's minting keys, wrapped. A step counts when enclave and parent are started again.
    Keys {
        /// The Unix socket on which the enclave listens: it makes the next key.
        #[arg(long, value_name = "SOCKET")]
        enclave: Option<PathBuf>,
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// The audit trail of what operators did.
    Trail {
        #[command(subcommand)]
        command: TrailCommand,
    },
}

/// The minting key. Whoever verifies takes it from an attestation at first sight, so that a new one needs no notice; a refresh token
/// lives for 60 days.
const MINTING_ROLE: Role = Role {
    name: "minting",
    rules: Rules { notice: Duration::ZERO, overlap: wire::REFRESH_TOKEN_LIFE, most: 8 },
    cost: "every lease whose tokens it signed last is lost: support resets the subscription, and its customer gets another address",
    former_keys_work: true,
};

/// An enclave's address to connect to.
fn address(text: OsString) -> Result<StreamAddress, AddressError> {
    match StreamAddress::parse(&text)? {
        StreamAddress::Vsock(any) if any.peer().is_none() => Err(AddressError),
        address => Ok(address),
    }
}

/// The whole program; `tap` hears what is received.
pub fn main(tap: impl Tap) -> ExitCode {
    service::run_program(run(Arguments::parse(), tap))
}

async fn run(arguments: Arguments, tap: impl Tap) -> anyhow::Result<()> {
    let Arguments { state, operator, command } = arguments;
    let (listen, enclave, boot_configuration, log) = match command {
        Command::Serve { listen, enclave, boot_configuration, log } => {
            (listen, enclave, boot_configuration, log)
        }
        Command::Keys { enclave, command } => {
            return keys(&state, command, &operator, enclave.as_deref());
        }
        Command::Trail { command } => return trail::run(command, &state),
    };
    let clock = ProgramClock::of(&tap);
    let crates = &["parent", "service"];
    telemetry::init("parent", &log, crates, tracing::Level::INFO, clock.clone())?;
    store::private_directory(&state)?;
    let configuration = std::fs::read(&boot_configuration)
        .with_context(|| format!("cannot read {}", boot_configuration.display()))?;
    let (link, steps) = (Link::new(enclave, tap.clone()), tap.steps());
    let metrics = Metrics::new(Arc::new(clock));
    let config =
        ServeConfig { routes: &ROUTES, metrics: metrics.clone(), ..ServeConfig::new(listen) };
    let server = Server::bind(config, tap).await?;
    boot(&link, configuration, &RingFile::of(&state, MINTING_ROLE.name)).await?;
    server.run(router(link, &metrics, steps)).await?;
    Ok(())
}

/// A step of the minting key's rotation.
fn keys(
    state: &Path,
    command: KeysCommand,
    operator: &Operator,
    enclave: Option<&Path>,
) -> anyhow::Result<()> {
    const NO_SOCKET: CouldNotTry = CouldNotTry("say with --enclave where the enclave listens");
    if RingFile::of(state, MINTING_ROLE.name).read()?.is_none() {
        bail!(CouldNotTry(
            "there is no minting key here: the enclave was never booted, or it keeps none"
        ));
    }
    key_ring::run(&MINTING_ROLE, state, command, operator, || {
        let mut stream = UnixStream::connect(enclave.context(NO_SOCKET)?)
            .context(CouldNotTry("the enclave does not answer on its socket"))?;
        Request::NewKey.write_to(&mut stream)?;
        match Answer::read_from(&mut stream)? {
            Some(Answer::Key { wrapped_key, public_key }) => fresh(wrapped_key, public_key),
            Some(Answer::Failed(failure)) => bail!("the enclave made no key: {failure}"),
            _ => bail!("the enclave gave an unexpected answer"),
        }
    })
}

/// A wrapped key for the ring.
fn fresh(wrapped_key: Vec<u8>, public_key: Vec<u8>) -> anyhow::Result<Fresh> {
    let public = public_key.try_into().ok().context("the enclave's public key is none")?;
    let kid = VerifyingKey::from_bytes(public).id().to_string();
    Ok(Fresh { kid, public, secret: Zeroizing::new(wrapped_key) })
}

/// Boots the enclave with the configuration and the minting keys that a former run kept; waits until it is up.
async fn boot<T: Tap>(
    link: &Link<T>,
    configuration: Vec<u8>,
    kept: &RingFile,
) -> anyhow::Result<()> {
    let ring = kept.read().context("the wrapped minting keys can't be read")?;
    let current = ring.as_ref().and_then(Ring::current).and_then(Key::secret);
    let former = ring.iter().flat_map(Ring::keys).filter(|key| key.standing == Standing::Former);
    let former_keys: Vec<_> = former.filter_map(Key::secret).map(<[u8]>::to_vec).collect();
    let wrapped_key = current.map(<[u8]>::to_vec).unwrap_or_default();
    let with = |wrapped_key| Request::Boot {
        configuration: configuration.clone(),
        wrapped_key,
        former_keys: former_keys.clone(),
    };
    let request = with(wrapped_key.clone());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let answer = loop {
        match link.ask(&request).await {
            Ok(answer) => break answer,
            Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => bail!("the enclave does not answer at its address"),
        }
    };
    match answer {
        Answer::Booted { wrapped_key: present, public_key } => {
            if present.is_empty() {
                tracing::warn!("the enclave keeps no minting key: all tokens end with it");
            } else if wrapped_key.is_empty() {
                let first = || fresh(present.clone(), public_key);
                kept.change(SystemClock.now(), first, |_| Ok::<_, anyhow::Error>(()))?;
            } else if wrapped_key != present {
                bail!(
                    "the enclave runs with another minting key than the one kept in {}: restart the enclave",
                    kept.path().display()
                );
            }
            link.boot_again_with(with(present));
            tracing::info!("the enclave is booted");
            Ok(())
        }
        Answer::Failed(Failure::Configuration) => bail!(
            "the enclave could not be booted: {}; restart the enclave if its configuration or its keys were changed",
            Failure::Configuration
        ),
        Answer::Failed(failure) => bail!("the enclave could not be booted: {failure}"),
        _ => bail!("the enclave gave an unexpected answer"),
    }
}
