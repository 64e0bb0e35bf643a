//! Serving: what the program puts together, and what it does beside answering.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use coarse::{Clock, Week};
use enclave_watch::{EnclaveWatch, ParentAttestor, load_provider};
use operating::{Acts, operator_token};
use record::Tap;
use service::{
    BaseUrl, ClientConfig, CouldNotTry, HttpClient, ProgramClock, ServeConfig, Server, sleep_until,
};
use telemetry::{LogTarget, Metrics};
use tokio::task::JoinSet;
use trail::Trail;

use crate::demand::Demand;
use crate::enclave::{Enclave, ParentEnclave};
use crate::http::{Dip, router};
use crate::measure::Measures;
use crate::state::{open, open_journal, order_key};
use crate::store::{DipStore, PoolStore, Replay};
use crate::table::ROUTES;
use crate::{Journal, Ledger, LiveGate};

/// How long the enclave may take: less than a client's request may.
const ENCLAVE_TIMEOUT: Duration = Duration::from_secs(8);
/// How often it is looked whether something ended.
const TIDY: Duration = Duration::from_secs(3600);
const UNUSABLE: CouldNotTry = CouldNotTry("the state directory can't be used");

#[derive(Args)]
pub(crate) struct ServeArguments {
    /// The provider's file: which tokens and which enclave to believe.
    #[arg(long, value_name = "FILE")]
    provider: PathBuf,
    /// Where the enclave's parent is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3002")]
    enclave: BaseUrl,
    /// Where the journal is kept: what was leased, for a database that is restored from a backup. Best on another disk than the database;
    /// in the state directory when not given.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// How long an address rests after a lease, so that nobody inherits a session or a reputation; rounded up to weeks.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(7..=3650))]
    quarantine_days: u32,
    /// Where to listen; plain HTTP, so loopback only.
    #[arg(long, default_value = "127.0.0.1:3003")]
    listen: SocketAddr,
    /// Where the log goes: `stderr`, or a file.
    #[arg(long, value_name = "stderr|FILE", default_value = "stderr")]
    log: LogTarget,
}

pub(crate) async fn serve(
    state: &Path,
    arguments: ServeArguments,
    tap: impl Tap,
) -> anyhow::Result<()> {
    let crates = &["dip", "enclave_watch", "operating", "service", "store"];
    let clock = ProgramClock::of(&tap);
    telemetry::init("dip", &arguments.log, crates, telemetry::Level::INFO, clock.clone())
        .context(CouldNotTry("the log can't be written"))?;
    let (provider, file) = (load_provider(&arguments.provider)?, read_file(&arguments.provider)?);
    // First, because only one process gets it: the files below have one writer.
    let store = open(state)?;
    let order_key = order_key(state).context(CouldNotTry("the order key can't be read"))?;
    let operator = operator_token(state).context(UNUSABLE)?;
    let journal = open_journal(state, arguments.journal.as_deref())?;
    let ledger = reconciled(store, journal, clock.now().week()).await?.telling(tap.steps());

    let clock: Arc<dyn Clock> = Arc::new(clock);
    let config = ClientConfig { total_timeout: ENCLAVE_TIMEOUT, ..ClientConfig::default() };
    let client = HttpClient::new(config, tap.clone());
    let parent = arguments.enclave;
    let enclaves = provider.enclaves().cloned();
    let attestor =
        ParentAttestor::new(client.clone(), parent.clone(), enclaves, Arc::clone(&clock));
    let metrics = Metrics::new(Arc::clone(&clock));
    let gate = LiveGate::open(provider, ledger.store()).await?;
    tracing::info!(keys = gate.present().keys(), "token keys loaded");
    let dip = Arc::new(Dip {
        enclave: EnclaveWatch::new(ParentEnclave::new(client, parent, attestor)),
        ledger,
        order_key,
        gate,
        provider: file.into(),
        quarantine: arguments.quarantine_days.div_ceil(7),
        acts: Acts::new(Trail::of(state), Arc::clone(&clock)),
        clock,
        demand: Demand::default(),
        measures: Measures::new(&metrics),
        steps: tap.steps(),
    });

    let config = ServeConfig { routes: &ROUTES, metrics, ..ServeConfig::new(arguments.listen) };
    let server = Server::bind(config, tap).await.context(CouldNotTry("the service can't start"))?;
    // Dropping the set ends what runs beside the server.
    let mut beside = JoinSet::new();
    let watched = Arc::clone(&dip);
    beside.spawn(async move { watched.enclave.run().await });
    let tidied = Arc::clone(&dip);
    beside.spawn(async move { keep_tidy(&*tidied).await });
    let demand = Arc::clone(&dip);
    server.run(router(dip, operator)).await?;
    demand.demand.write(demand.store()).await?;
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).context(CouldNotTry("the provider's file can't be read"))
}

/// Makes good what the database in the state directory lacks of the journal.
pub(crate) async fn reconcile(
    state: &Path,
    journal: Option<&Path>,
    now: Week,
) -> anyhow::Result<Replay> {
    let (store, journal) = (open(state)?, open_journal(state, journal)?);
    Ok(Ledger::open(store, journal, now).await?.1)
}

/// The ledger, once the database and the journal agree.
async fn reconciled<S: DipStore>(
    store: S,
    journal: Journal,
    now: Week,
) -> anyhow::Result<Ledger<S>> {
    let (ledger, replay) = Ledger::open(store, journal, now).await?;
    let Replay { tokens, leases, conflicts } = replay;
    if tokens + leases > 0 {
        tracing::warn!(
            tokens,
            leases,
            "the database was older than the journal, and was made good"
        );
    }
    if conflicts > 0 {
        tracing::error!(conflicts, "leases of the journal have no place in the database");
    }
    Ok(ledger)
}

/// Ends what has ended, and counts, now and every hour.
async fn keep_tidy<S: DipStore + PoolStore, E: Enclave>(dip: &Dip<S, E>) {
    loop {
        match dip.tidy().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                dip.measures.tidy_failed();
                tracing::error!(%error, "the pool can't be tidied");
            }
        }
        if let Err(error) = dip.demand.write(dip.store()).await {
            tracing::error!(%error, "the leases that began can't be counted");
        }
        match dip.store().survey(dip.clock.now().week()).await {
            Ok(regions) => dip.measures.found(&regions),
            Err(error) => tracing::error!(%error, "the pool can't be counted"),
        }
        sleep_until(&*dip.clock, dip.clock.now().plus(TIDY)).await;
    }
}
