//! The command line.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use coarse::Clock;
use record::Tap;
use service::{CouldNotTry, ProgramClock, ServeConfig, Server, sleep_until};
use telemetry::{LogTarget, Metrics};
use tokio::task::JoinSet;

use crate::store::{BackupStore, SqliteBackups};
use crate::{Backups, CAPACITY, Decoy, Measures, ROUTES, router};

/// How often it is looked whether something ended.
const TIDY: Duration = Duration::from_secs(3600);

/// The backup service: sealed backups, for people whom it can't name.
#[derive(Parser)]
#[command(name = "cloakroom-backup", version)]
struct Arguments {
    /// Where the database and the secret of its answers are kept: back up and restore both together.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until told to stop.
    Serve(ServeArguments),
}

#[derive(Args)]
struct ServeArguments {
    /// How many backups are kept at most; each takes some 5 KB.
    #[arg(long, value_name = "N", default_value_t = CAPACITY)]
    capacity: NonZero<u32>,
    /// Where to listen; plain HTTP, so loopback only.
    #[arg(long, default_value = "127.0.0.1:3007")]
    listen: SocketAddr,
    /// Where the log goes: `stderr`, or a file.
    #[arg(long, value_name = "stderr|FILE", default_value = "stderr")]
    log: LogTarget,
}

/// The whole program; `tap` hears what the service receives.
pub fn main(tap: impl Tap) -> ExitCode {
    let Arguments { state, command: Command::Serve(arguments) } = Arguments::parse();
    service::run_program(async move { serve(&state, arguments, tap).await })
}

async fn serve(state: &Path, arguments: ServeArguments, tap: impl Tap) -> anyhow::Result<()> {
    const UNUSABLE: CouldNotTry = CouldNotTry("the state directory can't be used");
    let ServeArguments { capacity, listen, log } = arguments;
    let crates = &["backup", "service", "store"];
    let clock = ProgramClock::of(&tap);
    telemetry::init("backup", &log, crates, telemetry::Level::INFO, clock.clone())
        .context(CouldNotTry("the log can't be written"))?;
    ::store::private_directory(state).context(UNUSABLE)?;
    // First, because only one process gets it.
    let store = SqliteBackups::open(&state.join("backup.sqlite")).context(UNUSABLE)?;
    let decoy = Decoy::load(state).context(UNUSABLE)?;
    let clock: Arc<dyn Clock> = Arc::new(clock);
    let metrics = Metrics::new(Arc::clone(&clock));
    let measures = Measures::new(&metrics);
    let backups = Arc::new(Backups { store, decoy, capacity, clock, measures });
    let config = ServeConfig { routes: &ROUTES, metrics, ..ServeConfig::new(listen) };
    let server = Server::bind(config, tap).await.context(CouldNotTry("the service can't start"))?;
    // Dropping the set ends what runs beside the server.
    let mut beside = JoinSet::new();
    let tidied = Arc::clone(&backups);
    beside.spawn(async move { keep_tidy(&tidied).await });
    server.run(router(backups)).await?;
    Ok(())
}

/// Forgets what has ended, now and every hour.
async fn keep_tidy<S: BackupStore>(backups: &Backups<S>) {
    let Backups { store, clock, measures, .. } = backups;
    loop {
        match store.forget_ended(clock.now().week()).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                measures.tidy_failed();
                tracing::error!(%error, "ended backups can't be forgotten");
            }
        }
        match store.count().await {
            Ok(count) => measures.found(count),
            Err(error) => tracing::error!(%error, "backups can't be counted"),
        }
        sleep_until(&**clock, clock.now().plus(TIDY)).await;
    }
}
