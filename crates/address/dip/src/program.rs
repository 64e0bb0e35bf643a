//! The command line.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use attested::Provider;
use clap::{Args, Parser, Subcommand};
use coarse::{Clock as _, SystemClock};
use dip_api::GatewayInfo;
use enclave_watch::load_provider;
use epoch_keys::{ImportError, Imported, Purpose};
use key_ring::KeysCommand as RoleCommand;
use lease::{ExitAddress, Region, TunnelEnd};
use peer_key::PeerKey;
use pool::{Block, Cidr, Exclusions};
use record::Tap;
use serde::Serialize;
use service::{BaseUrl, CouldNotTry};
use trail::{Operator, TrailCommand};

use crate::serve::{ServeArguments, serve};
use crate::state::{ORDER_ROLE, open, order_key};
use crate::store::{DipStore, GatewayName, SqliteStore};

/// The DIP service: a pool of addresses, leased against tokens.
#[derive(Parser)]
#[command(name = "cloakroom-dip", version)]
struct Arguments {
    /// Where the database and the key that signs orders are kept.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(flatten)]
    operator: Operator,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until told to stop.
    Serve(Box<ServeArguments>),
    /// The keys that sign orders. Without a further word: prints those by which orders are verified, as a JWKS: they go into the enclave's
    /// boot configuration.
    OrderKeys {
        #[command(subcommand)]
        command: Option<RoleCommand>,
        /// Without line breaks.
        #[arg(long)]
        json: bool,
    },
    /// Token keys; not while the service runs.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Gateways; not while the service runs.
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// The pool of addresses; not while the service runs.
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Leases; not while the service runs.
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// The audit trail of what operators did.
    #[command(subcommand)]
    Trail(TrailCommand),
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Takes in the issuer's public keys; those for other purposes are passed over.
    Import {
        /// What the issuer publishes: a JSON array of keys with their proofs.
        file: PathBuf,
        /// The provider's file, whose tree commits to the keys.
        #[arg(long, value_name = "FILE")]
        provider: PathBuf,
    },
}

#[derive(Subcommand)]
enum GatewayCommand {
    /// Names a gateway, or changes what is known of it.
    Add(GatewayArguments),
}

#[derive(Args)]
struct GatewayArguments {
    /// The name to import addresses with.
    #[arg(long, value_name = "NAME")]
    id: GatewayName,
    /// Its control API.
    #[arg(long)]
    url: BaseUrl,
    /// Its WireGuard key, base64.
    #[arg(long, value_name = "KEY")]
    public_key: PeerKey,
    /// Where clients send WireGuard's datagrams.
    #[arg(long, value_name = "IP:PORT")]
    endpoint: SocketAddr,
    /// The device's address inside the tunnel.
    #[arg(long, value_name = "IP", default_value = "100.64.0.2")]
    inner_address: Ipv4Addr,
    /// The resolver's address inside the tunnel.
    #[arg(long, value_name = "IP", default_value = "100.64.0.1")]
    resolver: Ipv4Addr,
}

#[derive(Subcommand)]
enum PoolCommand {
    /// Adds a block of addresses; doing it again changes nothing. The first and last address of a block of four or more are
    /// left out.
    Import {
        /// The block.
        #[arg(long, value_name = "IP/PREFIX", value_parser = carried_block)]
        cidr: Block,
        /// Where the addresses are.
        #[arg(long, value_name = "NAME")]
        region: Region,
        /// Which gateway serves them.
        #[arg(long, value_name = "NAME")]
        gateway: GatewayName,
        /// Addresses or blocks to leave out; may be given more than once.
        #[arg(long, value_name = "IP[/PREFIX]", num_args = 1..)]
        exclude: Vec<Cidr>,
    },
    /// Counts addresses by region and state.
    Status {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum LeaseCommand {
    /// Freezes the lease of an address: it gets no new tokens, so that its tunnels end within three days.
    Freeze {
        /// The address.
        address: ExitAddress,
    },
    /// Ends a freeze.
    Thaw {
        /// The address.
        address: ExitAddress,
    },
}

/// The whole program; `tap` hears what the service receives.
pub fn main(tap: impl Tap) -> ExitCode {
    service::run_program(run(Arguments::parse(), tap))
}

async fn run(arguments: Arguments, tap: impl Tap) -> anyhow::Result<()> {
    let Arguments { state, operator, command } = arguments;
    let now = SystemClock.now();
    match command {
        Command::Serve(arguments) => serve(&state, *arguments, tap).await,
        Command::OrderKeys { command: Some(command), .. } => {
            key_ring::run_signing(&ORDER_ROLE, &state, command, &operator)
        }
        Command::OrderKeys { command: None, json } => {
            let keys = order_key(&state).context(CouldNotTry("the order keys can't be read"))?;
            print(&keys.published(), json)
        }
        Command::Keys(KeysCommand::Import { file, provider }) => {
            let store = open(&state)?;
            let done = import_keys(&store, &file, &load_provider(&provider)?).await;
            operator.noted(&state, now, "token-keys-import", "", done)
        }
        Command::Gateway(GatewayCommand::Add(gateway)) => {
            let (name, gateway) = gateway.into_info();
            let subject = format!("{name} {}", gateway.tunnel.public_key);
            let done = open(&state)?.set_gateway(name, gateway).await;
            operator.noted(&state, now, "gateway-set", &subject, done.map_err(anyhow::Error::from))
        }
        Command::Pool(PoolCommand::Import { cidr, region, gateway, exclude }) => {
            let addresses = cidr.without(&Exclusions::new(exclude));
            let subject = format!("{cidr} {} {gateway}", region.as_str());
            let imported = open(&state)?.import(addresses, region, gateway).await;
            let imported = operator.noted(
                &state,
                now,
                "pool-import",
                &subject,
                imported.map_err(anyhow::Error::from),
            )?;
            let (new, known) = (imported.new, imported.known);
            say(&format!("{new} addresses added, {known} were there already"))
        }
        Command::Pool(PoolCommand::Status { json }) => status(&open(&state)?, json).await,
        Command::Lease(command) => {
            let (address, frozen) = match command {
                LeaseCommand::Freeze { address } => (address, true),
                LeaseCommand::Thaw { address } => (address, false),
            };
            let done = match open(&state)?.set_frozen(address, frozen).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(anyhow::anyhow!("{address} is not leased")),
                Err(error) => Err(error.into()),
            };
            let action = if frozen { "lease-freeze" } else { "lease-thaw" };
            operator.noted(&state, now, action, &address.to_string(), done)
        }
        Command::Trail(command) => trail::run(command, &state),
    }
}

/// A block whose addresses a gateway can serve.
fn carried_block(text: &str) -> anyhow::Result<Block> {
    let block: Block = text.parse()?;
    ensure!(block.range().first().is_ipv4(), "no gateway carries IPv6 yet: lease IPv4 addresses");
    Ok(block)
}

impl GatewayArguments {
    fn into_info(self) -> (GatewayName, GatewayInfo) {
        let tunnel = TunnelEnd {
            public_key: self.public_key,
            endpoint: self.endpoint,
            inner_address: self.inner_address,
            resolver: self.resolver,
        };
        (self.id, GatewayInfo { url: self.url.to_string(), tunnel })
    }
}

async fn import_keys(store: &SqliteStore, file: &Path, provider: &Provider) -> anyhow::Result<()> {
    let bytes = std::fs::read(file)
        .with_context(|| file.display().to_string())
        .context(CouldNotTry("the keys can't be read"))?;
    let tree = provider.tree(Purpose::DedicatedIp).context("the provider has no such tree")?;
    let Imported { keys, others } = match Imported::from_json(&bytes, tree) {
        Err(ImportError::Form(error)) => {
            let said = CouldNotTry("this is not what an issuer publishes");
            return Err(anyhow::Error::new(error).context(said));
        }
        imported => imported?,
    };
    let imported = keys.len();
    store.keep_token_keys(keys).await?;
    say(&format!("{imported} keys imported, {others} of other purposes passed over"))
}

async fn status(store: &SqliteStore, json: bool) -> anyhow::Result<()> {
    let regions = store.pool().await?;
    let keys = store.token_keys().await?;
    if json {
        let epochs: Vec<_> = keys.iter().map(|key| key.epoch).collect();
        return print(&serde_json::json!({ "regions": regions, "key_epochs": epochs }), true);
    }
    say(&format!(
        "{:<32} {:>8} {:>8} {:>8} {:>11}",
        "region", "free", "reserved", "leased", "quarantined"
    ))?;
    for status in &regions {
        let (region, free) = (status.region.as_str(), status.free);
        let (reserved, leased, quarantined) = (status.reserved, status.leased, status.quarantined);
        say(&format!("{region:<32} {free:>8} {reserved:>8} {leased:>8} {quarantined:>11}"))?;
    }
    say(&format!("token keys: {}", keys.len()))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Prints `value` as JSON: on one line for scripts, else laid out for people.
fn print(value: &impl Serialize, for_scripts: bool) -> anyhow::Result<()> {
    say(&if for_scripts {
        serde_json::to_string(value)?
    } else {
        serde_json::to_string_pretty(value)?
    })
}
