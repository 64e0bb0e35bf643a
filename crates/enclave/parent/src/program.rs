//! The command line, and the enclave's boot.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Parser, Subcommand};
use coarse::SystemClock;
use record::Tap;
use service::{ServeConfig, Server};
use telemetry::{LogTarget, Metrics};
use wire::parent::{Answer, Request};
use wire::{AddressError, StreamAddress};

use crate::{Link, ROUTES, router};

/// The enclave's parent: carries requests to the enclave and answers back.
#[derive(Parser)]
#[command(name = "cloakroom-parent", version)]
struct Arguments {
    /// Where the enclave's wrapped minting key is kept.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
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
}

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
    let Command::Serve { listen, enclave, boot_configuration, log } = arguments.command;
    telemetry::init("parent", &log, &["parent", "service"], tracing::Level::INFO, SystemClock)?;
    store::private_directory(&arguments.state)?;
    let configuration = std::fs::read(&boot_configuration)
        .with_context(|| format!("cannot read {}", boot_configuration.display()))?;
    let link = Link::new(enclave, tap.clone());
    let metrics = Metrics::new(Arc::new(SystemClock));
    let config =
        ServeConfig { routes: &ROUTES, metrics: metrics.clone(), ..ServeConfig::new(listen) };
    let server = Server::bind(config, tap).await?;
    boot(&link, configuration, &arguments.state.join("minting-key.wrapped")).await?;
    server.run(router(link, &metrics)).await?;
    Ok(())
}

/// Boots the enclave with the configuration and the minting key that a former run kept; waits until it is up.
async fn boot<T: Tap>(link: &Link<T>, configuration: Vec<u8>, kept: &Path) -> anyhow::Result<()> {
    let wrapped_key = match std::fs::read(kept) {
        Ok(wrapped) => wrapped,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context("cannot read the wrapped minting key"),
    };
    let request =
        Request::Boot { configuration: configuration.clone(), wrapped_key: wrapped_key.clone() };
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
        Answer::Booted { wrapped_key: present } => {
            if present.is_empty() {
                tracing::warn!("the enclave keeps no minting key: all tokens end with it");
            }
            if wrapped_key.is_empty() {
                store::write_secret_file(kept, &present)?;
            } else if wrapped_key != present {
                bail!(
                    "the enclave runs with another minting key than the one kept in {}: restart the enclave",
                    kept.display()
                );
            }
            link.boot_again_with(Request::Boot { configuration, wrapped_key: present });
            tracing::info!("the enclave is booted");
            Ok(())
        }
        Answer::Failed(failure) => bail!("the enclave could not be booted: {failure}"),
        _ => bail!("the enclave gave an unexpected answer"),
    }
}
