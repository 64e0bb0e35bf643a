//! The command line.

use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use coarse::{Clock, Epoch, Hour, SystemClock};
use epoch_keys::Purpose;
use key_ring::{KeysCommand as RoleCommand, LiveKeys, LiveSigner, RingFile, Role, Rules};
use privacy_pass::TokenChallenge;
use record::Tap;
use serde::Serialize;
use service::{CouldNotTry, ProgramClock, ServeConfig, Server, sleep_until};
use store::postgres::DatabaseOption;
use telemetry::{LogTarget, Metrics};
use trail::{Operator, TrailCommand};

use crate::{
    FileKeyStore, Issuer, IssuerStore, KeyStore as _, Keys, PostgresIssuer, ROUTES, Signers,
    SqliteIssuer, generate, router,
};

/// A week, the length of an epoch of dedicated-ip tokens.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The key that signs receipts of issuance. A receipt has no end of its own, its token has: drawn up to a week ahead, in an epoch of a
/// week, spent up to 60 days after that.
const RECEIPT_ROLE: Role = Role {
    name: "issuance-receipt",
    rules: Rules {
        notice: Duration::from_secs(24 * 3600),
        overlap: Duration::from_secs(2 * WEEK.as_secs() + 60 * 24 * 3600),
        most: 4,
    },
    cost: "tokens that were drawn with it and not yet spent are refused until their receipt is signed anew: the client asks for that by itself",
    former_keys_work: false,
};

const UNUSABLE: CouldNotTry = CouldNotTry("the state directory can't be used");

/// The blind token service: signs blinded tokens, once for each thing that was paid for.
#[derive(Parser)]
#[command(name = "cloakroom-issuer", version)]
struct Arguments {
    /// Where all keys and, unless `--database` says otherwise, the database are kept. Never back up `epoch-keys/never-back-up` in it.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(flatten)]
    operator: Operator,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the keys of a purpose, one per epoch, and commits to them. Prints what clients pin.
    Keygen {
        /// What the tokens are good for: `access`, `dedicated-ip`, `renewal` or `relay-ticket`.
        #[arg(long, value_name = "NAME")]
        purpose: Purpose,
        /// The first epoch: its number, or `now`.
        #[arg(long, value_name = "N|now")]
        first_epoch: FirstEpoch,
        /// How many epochs, 65,535 at most.
        #[arg(long, value_name = "N")]
        count: NonZero<u16>,
        #[command(flatten)]
        output: Output,
    },
    /// Prints what clients pin: purpose, first epoch and root of each tree.
    Trees {
        #[command(flatten)]
        output: Output,
    },
    /// Public keys.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// The keys that sign receipts of issuance. Without a further word: prints those by which they are verified, as a JWKS.
    ReceiptKeys {
        #[command(subcommand)]
        command: Option<RoleCommand>,
        #[command(flatten)]
        output: Output,
    },
    /// The audit trail of what operators did.
    Trail {
        #[command(subcommand)]
        command: TrailCommand,
    },
    /// Serves until told to stop.
    Serve {
        /// The issuer's name in Privacy Pass challenges: a host name.
        #[arg(long, value_name = "NAME")]
        issuer_name: String,
        /// The keys by which SRTs are verified: the accounts service's JWKS. A change of the file counts within a second.
        #[arg(long, value_name = "FILE")]
        srt_keys: PathBuf,
        /// Where to listen; plain HTTP, so loopback only.
        #[arg(long, default_value = "127.0.0.1:3001")]
        listen: SocketAddr,
        /// Where the log goes: `stderr`, or a file.
        #[arg(long, value_name = "stderr|FILE", default_value = "stderr")]
        log: LogTarget,
        #[command(flatten)]
        database: DatabaseOption,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Prints all committed keys with their proofs, for verifiers to import.
    Export {
        #[command(flatten)]
        output: Output,
    },
}

/// How JSON is printed.
#[derive(clap::Args)]
struct Output {
    /// Without line breaks.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy)]
enum FirstEpoch {
    Now,
    Number(Epoch),
}

impl FromStr for FirstEpoch {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "now" => Ok(Self::Now),
            number => number.parse().map(Epoch::new).map(Self::Number),
        }
    }
}

/// The whole program; `tap` hears what the service receives.
pub fn main(tap: impl Tap) -> ExitCode {
    service::run_program(run(Arguments::parse(), tap))
}

async fn run(arguments: Arguments, tap: impl Tap) -> anyhow::Result<()> {
    let Arguments { state, operator, command } = arguments;
    match command {
        Command::Keygen { purpose, first_epoch, count, output } => {
            let first = match first_epoch {
                FirstEpoch::Now => purpose.epoch_at(SystemClock.now()),
                FirstEpoch::Number(epoch) => epoch,
            };
            let store = key_store(&state)?;
            let progress = |done| tell_progress(purpose, done, count);
            let made = generate(&store, purpose, first, count, &mut coarse::system_rng(), progress);
            let subject = format!("{purpose} {} {count}", first.number());
            let made = made.map_err(anyhow::Error::from);
            let pin =
                operator.noted(&state, SystemClock.now(), "epoch-keys-make", &subject, made)?;
            output.print(&pin)
        }
        Command::Trees { output } => {
            let keys = Keys::new(key_store(&state)?.committed()?)?;
            output.print(&keys.pins().collect::<Vec<_>>())
        }
        Command::Keys { command: KeysCommand::Export { output } } => {
            let keys = Keys::new(key_store(&state)?.committed()?)?;
            let scheduled = keys.scheduled();
            let all = scheduled.filter_map(|key| keys.published(key.purpose, key.epoch));
            output.print(&all.collect::<Vec<_>>())
        }
        Command::ReceiptKeys { command: Some(command), .. } => {
            key_ring::run_signing(&RECEIPT_ROLE, &state, command, &operator)
        }
        Command::ReceiptKeys { command: None, output } => {
            output.print(&receipt_key(&state).context(UNUSABLE)?.published())
        }
        Command::Trail { command } => trail::run(command, &state),
        Command::Serve { issuer_name, srt_keys, listen, log, database } => {
            let crates = &["issuer", "service", "store"];
            telemetry::init("issuer", &log, crates, telemetry::Level::INFO, ProgramClock::of(&tap))
                .context(CouldNotTry("the log can't be written"))?;
            TokenChallenge::new(&issuer_name, None, &[])
                .context(CouldNotTry("the issuer's name can't be used"))?;
            store::private_directory(&state).context(UNUSABLE)?;
            let serve = Serve { state, issuer_name, srt_keys, listen };
            let Some(server) = database.server() else {
                // First, because only one process gets it.
                let store = SqliteIssuer::open(&serve.state.join("issuer.sqlite"));
                return serve.run(store.context(UNUSABLE)?, tap).await;
            };
            let store = PostgresIssuer::connect(server).await;
            let store = store.context(CouldNotTry("the database can't be used"))?;
            let (server, clock) = (store.server().clone(), ProgramClock::of(&tap));
            let shuffling = tokio::spawn(async move { server.keep_shuffled(&clock).await });
            let served = serve.run(store, tap).await;
            shuffling.abort();
            served
        }
    }
}

/// How to serve. The files in the state directory may be other instances', too.
struct Serve {
    state: PathBuf,
    issuer_name: String,
    srt_keys: PathBuf,
    listen: SocketAddr,
}

impl Serve {
    async fn run(self, store: impl IssuerStore, tap: impl Tap) -> anyhow::Result<()> {
        let Self { state, issuer_name, srt_keys, listen } = self;
        let issuer = Arc::new(assemble(&state, store, &srt_keys, &tap)?);
        let metrics = Metrics::new(Arc::clone(&issuer.clock));
        let config =
            ServeConfig { routes: &ROUTES, metrics: metrics.clone(), ..ServeConfig::new(listen) };
        let server =
            Server::bind(config, tap).await.context(CouldNotTry("the service can't start"))?;
        tracing::info!(issuer_name, "signing");
        let tidying = tokio::spawn(tidy_hourly(Arc::clone(&issuer)));
        let served = server.run(router(issuer, &metrics)).await;
        tidying.abort();
        Ok(served?)
    }
}

/// Everything that serving needs, of what store and state directory hold. Erases keys that are past.
fn assemble<S: IssuerStore>(
    state: &Path,
    store: S,
    srt_keys: &Path,
    tap: &impl Tap,
) -> anyhow::Result<Issuer<S>> {
    const NO_SRT_KEYS: CouldNotTry = CouldNotTry("the keys that verify SRTs can't be read");
    let clock = Arc::new(ProgramClock::of(tap));
    let srt_keys = LiveKeys::open(srt_keys).context(NO_SRT_KEYS)?;
    let receipt_key = receipt_key(state).context(UNUSABLE)?;
    let key_store = key_store(state)?;
    let keys = Arc::new(Keys::new(key_store.committed()?)?);
    let signers = Signers::new(Arc::clone(&keys), Box::new(key_store), clock.now())?;
    let (signers, tidy_failures, steps) = (Arc::new(signers), Arc::default(), tap.steps());
    Ok(Issuer { keys, signers, store, srt_keys, receipt_key, clock, tidy_failures, steps })
}

/// Tidies at once, and then at the start of each hour: all windows end there.
async fn tidy_hourly(issuer: Arc<Issuer<impl IssuerStore>>) {
    loop {
        if let Err(error) = issuer.tidy().await {
            tracing::error!(cause = %error, "tidying failed");
        }
        let next = Hour::new(issuer.clock.now().hour().number() + 1).start();
        sleep_until(&*issuer.clock, next).await;
    }
}

fn key_store(state: &Path) -> anyhow::Result<FileKeyStore> {
    FileKeyStore::open(&state.join("epoch-keys"), &mut coarse::system_rng()).context(UNUSABLE)
}

/// What signs receipts of issuance; the first key is made at first use.
fn receipt_key(state: &Path) -> Result<LiveSigner, key_ring::RingError> {
    LiveSigner::open(RingFile::of(state, RECEIPT_ROLE.name))
}

/// A line each hundredth of the way.
fn tell_progress(purpose: Purpose, done: u16, count: NonZero<u16>) {
    let (done, count) = (u32::from(done), u32::from(count.get()));
    if done * 100 / count != (done - 1) * 100 / count {
        // Progress that nobody reads is no failure.
        let _ = writeln!(std::io::stderr(), "{purpose}: {done} of {count} keys");
    }
}

impl Output {
    /// Prints `value` as JSON: on one line for scripts, else laid out for people.
    fn print(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let json = if self.json {
            serde_json::to_string(value)?
        } else {
            serde_json::to_string_pretty(value)?
        };
        Ok(writeln!(std::io::stdout(), "{json}")?)
    }
}
