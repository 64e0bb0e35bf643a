//! Serving: what the program puts together, and what it does beside answering.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use attested::Provider;
use clap::Args;
use coarse::Clock;
use enclave_watch::{Attestor, EnclaveWatch, ParentAttestor, load_provider};
use lease::TunnelEnd;
use record::Tap;
use service::{
    BaseUrl, ClientConfig, CouldNotTry, HttpClient, Inside, ProgramClock, ServeConfig, Server,
};
use store::postgres::DatabaseOption;
use telemetry::{LogTarget, Metrics};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tunnel::{
    Control, DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig, ExitHandle, Limits, Network,
    Observer,
};

use crate::admission::{Gateway, Terms};
use crate::destinations::refused_destinations;
use crate::grants::{GrantStore, PostgresGrants, SqliteGrants};
use crate::http::router;
use crate::inside::{inside_router, way_in};
use crate::state::TunnelKeys;
use crate::table::ROUTES;

/// The gateway's address inside all tunnels, which is the peers' resolver too.
pub(crate) const INNER_ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// Every peer's address inside its tunnel: each has a network stack of its own.
const PEER_ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
/// How often it is looked whether something ended.
const TIDY: Duration = Duration::from_secs(3600);

#[derive(Args)]
pub(crate) struct ServeArguments {
    /// The provider's file: which enclave to believe, and which destinations to refuse.
    #[arg(long, value_name = "FILE")]
    provider: PathBuf,
    /// Where the enclave's parent is; asked for attestation only.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3002")]
    enclave: BaseUrl,
    /// Which leased addresses this gateway serves.
    #[arg(long, value_name = "IP/PREFIX", num_args = 1.., required = true)]
    serve: Vec<Network>,
    /// Where the control API listens; plain HTTP, so loopback only.
    #[arg(long, default_value = "127.0.0.1:3006")]
    listen: SocketAddr,
    /// Where WireGuard's datagrams are taken.
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:51820")]
    tunnel_listen: SocketAddr,
    /// Where clients are told to send datagrams; where they are taken, when not given.
    #[arg(long, value_name = "IP:PORT")]
    endpoint: Option<SocketAddr>,
    /// How many devices may use one address at a time.
    #[arg(long, value_name = "N", default_value = "10")]
    devices: NonZero<u32>,
    /// Serves private and loopback destinations as well: for demonstrations and tests on one machine.
    #[arg(long)]
    local: bool,
    /// Where the log goes: `stderr`, or a file.
    #[arg(long, value_name = "stderr|FILE", default_value = "stderr")]
    log: LogTarget,
    #[command(flatten)]
    database: DatabaseOption,
}

const UNUSABLE: CouldNotTry = CouldNotTry("the state directory can't be used");
const UNABLE: CouldNotTry = CouldNotTry("the gateway can't start");

pub(crate) async fn serve(
    state: &Path,
    arguments: ServeArguments,
    tap: impl Tap,
    observer: impl Observer,
) -> anyhow::Result<()> {
    let crates = &["gateway", "enclave_watch", "service", "store", "tunnel"];
    let clock = ProgramClock::of(&tap);
    telemetry::init("gateway", &arguments.log, crates, telemetry::Level::INFO, clock.clone())
        .context(CouldNotTry("the log can't be written"))?;
    let provider = load_provider(&arguments.provider)?;
    store::private_directory(state).context(UNUSABLE)?;
    let clock: Arc<dyn Clock> = Arc::new(clock);
    let Some(server) = arguments.database.server() else {
        let store = SqliteGrants::open(&state.join("gateway.sqlite")).context(UNUSABLE)?;
        return serve_from(store, state, provider, arguments, clock, tap, observer).await;
    };
    let store = PostgresGrants::connect(server).await;
    let store = store.context(CouldNotTry("the database can't be used"))?;
    let (server, ticking) = (store.server().clone(), Arc::clone(&clock));
    let shuffling = tokio::spawn(async move { server.keep_shuffled(&*ticking).await });
    let served = serve_from(store, state, provider, arguments, clock, tap, observer).await;
    shuffling.abort();
    served
}

async fn serve_from(
    store: impl GrantStore,
    state: &Path,
    provider: Provider,
    arguments: ServeArguments,
    clock: Arc<dyn Clock>,
    tap: impl Tap,
    observer: impl Observer,
) -> anyhow::Result<()> {
    let keys = TunnelKeys::load(state)?;

    let policy = DestinationPolicy {
        local: arguments.local,
        never: refused_destinations(&provider).await.context(CouldNotTry("can't start"))?,
    };
    let (control, flows) = way_in();
    let exit = spawn_exit(arguments.tunnel_listen, &keys, policy, control, &clock, observer)?;
    let endpoint = arguments.endpoint.unwrap_or(exit.listen_addr());
    ensure!(
        !endpoint.ip().is_unspecified(),
        CouldNotTry("say with --endpoint where clients reach the tunnel")
    );
    let tunnel = TunnelEnd {
        public_key: keys.current.public(),
        endpoint,
        inner_address: PEER_ADDRESS,
        resolver: INNER_ADDRESS,
    };
    let client = HttpClient::new(ClientConfig::default(), tap.clone());
    let attestor = ParentAttestor::new(
        client,
        arguments.enclave,
        provider.enclaves().cloned(),
        Arc::clone(&clock),
    );
    let enclave = EnclaveWatch::new(attestor);
    let metrics = Metrics::new(Arc::clone(&clock));
    let terms = Terms { serves: arguments.serve, tunnel, devices: arguments.devices };
    let gateway = Gateway::new(store, enclave, exit.clone(), terms, clock, &metrics);
    let gateway = Arc::new(gateway);

    let config = ServeConfig { routes: &ROUTES, metrics, ..ServeConfig::new(arguments.listen) };
    let inside = Inside::new(config.clone(), flows, tap.clone()).context(UNABLE)?;
    let server = Server::bind(config, tap).await.context(UNABLE)?;
    // Dropping the set ends what runs beside the server.
    let mut beside = JoinSet::new();
    let watched = Arc::clone(&gateway);
    beside.spawn(async move { watched.enclave().run().await });
    let kept = Arc::clone(&gateway);
    beside.spawn(async move { keep_grants(&kept).await });
    let within = inside.run(inside_router(Arc::clone(&gateway)));
    tokio::try_join!(server.run(router(gateway)), within)?;
    exit.shutdown();
    Ok(())
}

fn spawn_exit(
    listen: SocketAddr,
    keys: &TunnelKeys,
    policy: DestinationPolicy,
    control: Control,
    clock: &Arc<dyn Clock>,
    observer: impl Observer,
) -> anyhow::Result<ExitHandle> {
    let clock = Arc::clone(clock);
    let config = ExitConfig {
        listen,
        secret_key: keys.current.clone(),
        former_keys: keys.former.clone(),
        inner_address: INNER_ADDRESS,
        mtu: DEFAULT_MTU,
        policy,
        limits: Limits::default(),
        control: Some(control),
        now: Arc::new(move || clock.now().seconds()),
    };
    Exit::spawn(config, observer).context(CouldNotTry("the tunnel can't start"))
}

/// Puts the kept grants in force once the enclave is attested, and forgets ended ones every hour.
async fn keep_grants<S: GrantStore, A: Attestor>(gateway: &Gateway<S, A>) {
    gateway.enclave().known().await;
    loop {
        if let Err(error) = gateway.restore().await {
            tracing::error!(%error, "the kept grants can't be restored");
        }
        if let Err(error) = gateway.tidy().await {
            tracing::error!(%error, "ended grants can't be forgotten");
        }
        sleep(TIDY).await;
    }
}
