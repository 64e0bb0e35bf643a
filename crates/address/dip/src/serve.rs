//! Serving: what the program puts together, and what it does beside answering.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use coarse::Clock;
use enclave_watch::{EnclaveWatch, ParentAttestor, load_provider};
use record::Tap;
use service::{BaseUrl, ClientConfig, CouldNotTry, HttpClient, ProgramClock, ServeConfig, Server};
use telemetry::{LogTarget, Metrics};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::enclave::ParentEnclave;
use crate::gate::TokenGate;
use crate::http::{Dip, router};
use crate::measure::Measures;
use crate::state::{open, order_key};
use crate::store::DipStore;
use crate::table::ROUTES;

/// How long the enclave may take: less than a client's request may.
const ENCLAVE_TIMEOUT: Duration = Duration::from_secs(8);
/// How often it is looked whether something ended.
const TIDY: Duration = Duration::from_secs(3600);

#[derive(Args)]
pub(crate) struct ServeArguments {
    /// The provider's file: which tokens and which enclave to believe.
    #[arg(long, value_name = "FILE")]
    provider: PathBuf,
    /// Where the enclave's parent is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3002")]
    enclave: BaseUrl,
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
    let crates = &["dip", "enclave_watch", "service", "store"];
    let clock = ProgramClock::of(&tap);
    telemetry::init("dip", &arguments.log, crates, telemetry::Level::INFO, clock.clone())
        .context(CouldNotTry("the log can't be written"))?;
    let (provider, file) = (load_provider(&arguments.provider)?, read_file(&arguments.provider)?);
    let store = open(state)?;
    let order_key = order_key(state).context(CouldNotTry("the order key can't be read"))?;
    let (gate, ignored) = TokenGate::new(&provider, &store.token_keys().await?)?;
    tracing::info!(keys = gate.keys(), ignored, "token keys loaded");

    let clock: Arc<dyn Clock> = Arc::new(clock);
    let config = ClientConfig { total_timeout: ENCLAVE_TIMEOUT, ..ClientConfig::default() };
    let client = HttpClient::new(config, tap.clone());
    let parent = arguments.enclave;
    let attestor = ParentAttestor::new(
        client.clone(),
        parent.clone(),
        provider.enclaves().cloned(),
        Arc::clone(&clock),
    );
    let enclave = EnclaveWatch::new(ParentEnclave::new(client, parent, attestor));
    let metrics = Metrics::new(Arc::clone(&clock));
    let measures = Measures::new(&metrics);
    let dip =
        Arc::new(Dip { store, enclave, order_key, gate, provider: file.into(), clock, measures });

    let config = ServeConfig { routes: &ROUTES, metrics, ..ServeConfig::new(arguments.listen) };
    let server = Server::bind(config, tap).await.context(CouldNotTry("the service can't start"))?;
    // Dropping the set ends what runs beside the server.
    let mut beside = JoinSet::new();
    let watched = Arc::clone(&dip);
    beside.spawn(async move { watched.enclave.run().await });
    let tidied = Arc::clone(&dip);
    beside.spawn(async move { keep_tidy(&tidied.store, &*tidied.clock, &tidied.measures).await });
    server.run(router(dip)).await?;
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).context(CouldNotTry("the provider's file can't be read"))
}

/// Ends what has ended, now and every hour.
async fn keep_tidy(store: &impl DipStore, clock: &dyn Clock, measures: &Measures) {
    loop {
        let more = store.tidy(clock.now().week()).await;
        match more {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                measures.tidy_failed();
                tracing::error!(%error, "the pool can't be tidied");
            }
        }
        match store.pool().await {
            Ok(regions) => measures.found(&regions),
            Err(error) => tracing::error!(%error, "the pool can't be counted"),
        }
        sleep(TIDY).await;
    }
}
