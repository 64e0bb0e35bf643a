//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use key_ring::{KeysCommand, LiveSigner, RingFile, Role, Rules};
use operating::{Asker, print};
use record::Tap;
use service::{CouldNotTry, ProgramClock, ServeConfig, Server};
use store::postgres::DatabaseOption;
use telemetry::{LogTarget, Metrics};
use trail::{Operator, Trail, TrailCommand};

use crate::admin::{AccountCommand, SubscriptionCommand};
use crate::{AccountStore, Accounts, PostgresAccounts, ROUTES, SqliteAccounts, router};

/// The key that signs SRTs. A day is enough to restart the enclave with the next key among those it believes; an SRT ends
/// [`receipt::MAX_LIFE`] after it was signed.
const SRT_ROLE: Role = Role {
    name: "srt",
    rules: Rules { notice: Duration::from_secs(24 * 3600), overlap: receipt::MAX_LIFE, most: 4 },
    cost: "every SRT that it signed is refused, and each client fetches a new one at its next step",
    former_keys_work: false,
};

const UNUSABLE: CouldNotTry = CouldNotTry("the state directory can't be used");

/// The accounts service: accounts, subscriptions and the receipts (SRT) that prove them.
#[derive(Parser)]
#[command(name = "cloakroom-accounts", version)]
struct Arguments {
    /// Where the signing key, the operator's token, the audit trail and, unless `--database` says otherwise, the database are kept.
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
    Serve {
        /// Where to listen; plain HTTP, so loopback only.
        #[arg(long, default_value = "127.0.0.1:3004")]
        listen: SocketAddr,
        /// Where the log goes: `stderr`, or a file.
        #[arg(long, value_name = "stderr|FILE", default_value = "stderr")]
        log: LogTarget,
        #[command(flatten)]
        database: DatabaseOption,
    },
    /// The keys that sign SRTs. Without a further word: prints those by which SRTs are verified, as a JWKS.
    Keys {
        #[command(subcommand)]
        command: Option<KeysCommand>,
        /// Without line breaks.
        #[arg(long)]
        json: bool,
    },
    /// Makes accounts, through a running service.
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Looks at subscriptions, refunds and resets them, through a running service.
    Subscription {
        #[command(subcommand)]
        command: SubscriptionCommand,
    },
    /// The audit trail of what operators did.
    Trail {
        #[command(subcommand)]
        command: TrailCommand,
    },
}

/// The whole program; `tap` hears what the service receives.
pub fn main(tap: impl Tap) -> ExitCode {
    service::run_program(run(Arguments::parse(), tap))
}

async fn run(arguments: Arguments, tap: impl Tap) -> anyhow::Result<()> {
    let Arguments { state, operator, command } = arguments;
    let asker = Asker { state: &state, operator: &operator };
    match command {
        Command::Serve { listen, log, database } => {
            serve(&state, listen, &log, &database, tap).await
        }
        Command::Keys { command: Some(command), .. } => {
            key_ring::run_signing(&SRT_ROLE, &state, command, &operator)
        }
        Command::Keys { command: None, json } => {
            let ring = signer(&state).context(CouldNotTry("the signing keys can't be read"))?;
            print(&ring.published(), json)
        }
        Command::Account { command } => command.run(asker).await,
        Command::Subscription { command } => command.run(asker).await,
        Command::Trail { command } => trail::run(command, &state),
    }
}

async fn serve(
    state: &Path,
    listen: SocketAddr,
    log: &LogTarget,
    database: &DatabaseOption,
    tap: impl Tap,
) -> anyhow::Result<()> {
    let crates = &["accounts", "service", "store"];
    let clock = ProgramClock::of(&tap);
    telemetry::init("accounts", log, crates, telemetry::Level::INFO, clock.clone())
        .context(CouldNotTry("the log can't be written"))?;
    store::private_directory(state).context(UNUSABLE)?;
    let Some(server) = database.server() else {
        // First, because only one process gets it.
        let store = SqliteAccounts::open(&state.join("accounts.sqlite")).context(UNUSABLE)?;
        return serve_from(store, state, listen, clock, tap).await;
    };
    let store = PostgresAccounts::connect(server).await;
    let store = store.context(CouldNotTry("the database can't be used"))?;
    let (server, ticking) = (store.server().clone(), clock.clone());
    let shuffling = tokio::spawn(async move { server.keep_shuffled(&ticking).await });
    let served = serve_from(store, state, listen, clock, tap).await;
    shuffling.abort();
    served
}

/// Serves what is in a store; the files in the state directory may be other instances', too.
async fn serve_from<T: Tap>(
    store: impl AccountStore,
    state: &Path,
    listen: SocketAddr,
    clock: ProgramClock<T>,
    tap: T,
) -> anyhow::Result<()> {
    let signer = signer(state).context(UNUSABLE)?;
    let secret = operating::operator_token(state).context(UNUSABLE)?;
    let clock = Arc::new(clock);
    let metrics = Metrics::new(Arc::<ProgramClock<_>>::clone(&clock));
    let steps = tap.steps();
    let config =
        ServeConfig { routes: &ROUTES, metrics: metrics.clone(), ..ServeConfig::new(listen) };
    let server = Server::bind(config, tap).await.context(CouldNotTry("the service can't start"))?;
    let accounts = Accounts::new(store, signer, clock, Trail::of(state), &metrics).telling(steps);
    server.run(router(accounts, secret)).await?;
    Ok(())
}

/// What signs SRTs; the first key is made at first use.
fn signer(state: &Path) -> Result<LiveSigner, key_ring::RingError> {
    LiveSigner::open(RingFile::of(state, SRT_ROLE.name))
}
