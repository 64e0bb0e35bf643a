//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use coarse::{Clock as _, SystemClock};
use dip_api::operator::Service;
use key_ring::KeysCommand as RoleCommand;
use operating::{Asker, print};
use record::Tap;
use service::CouldNotTry;
use trail::{Operator, TrailCommand};

use crate::command::{
    AlterArguments, ComplaintArguments, ForecastArguments, GatewayCommand, GeofeedArguments,
    ImportArguments, KeysCommand, LeaseCommand, ListArguments, MoveArguments, RegionCommand,
    ReportArguments, StatusArguments, TidyArguments, ZoneArguments, tidy,
};
use crate::serve::{ServeArguments, reconcile, serve};
use crate::state::{ORDER_ROLE, order_key};

/// The DIP service: a pool of addresses, leased against tokens.
#[derive(Parser)]
#[command(name = "cloakroom-dip", version)]
struct Arguments {
    /// Where the database, the journal, the key that signs orders and the operator's token are kept.
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
    /// Token keys, through a running service.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Gateways, through a running service.
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Regions, through a running service.
    #[command(subcommand)]
    Region(RegionCommand),
    /// The pool of addresses, through a running service.
    #[command(subcommand)]
    Pool(Box<PoolCommand>),
    /// Leases, through a running service.
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Counts a complaint about an address and shows its lease, through a running service.
    Complaint(ComplaintArguments),
    /// Counts complaints and what was done about them, for a transparency report; through a running service.
    Report(ReportArguments),
    /// The journal; not while the service runs.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// The audit trail of what operators did.
    #[command(subcommand)]
    Trail(TrailCommand),
}

#[derive(Subcommand)]
enum PoolCommand {
    /// Adds addresses; doing it again changes nothing.
    Import(ImportArguments),
    /// Counts addresses by region and state.
    Status(StatusArguments),
    /// Lists addresses.
    List(ListArguments),
    /// Has addresses given out no more; whoever has one keeps it.
    Drain(AlterArguments),
    /// Has addresses used no more: whoever has one gets no new tokens for it.
    Block(AlterArguments),
    /// Has addresses given out again that were drained or blocked.
    Open(AlterArguments),
    /// Moves addresses to another gateway; their leases go along at the next refresh.
    Move(MoveArguments),
    /// Ends what has ended, at once instead of within the hour.
    Tidy(TidyArguments),
    /// Says when regions run out of addresses.
    Forecast(ForecastArguments),
    /// Writes a geofeed (RFC 8805): where the addresses are.
    Geofeed(GeofeedArguments),
    /// Writes zone files: names for the addresses, reverse and forward.
    Zones(ZoneArguments),
}

#[derive(Subcommand)]
enum JournalCommand {
    /// Makes good what a restored database lacks, as `serve` does at its start: with several instances, do it on each before any serves.
    Replay {
        /// Where the journal is kept; in the state directory when not given.
        #[arg(long, value_name = "DIR")]
        journal: Option<PathBuf>,
        /// Prints one line of JSON.
        #[arg(long)]
        json: bool,
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
        Command::Serve(arguments) => serve(&state, *arguments, tap).await,
        Command::OrderKeys { command: Some(command), .. } => {
            key_ring::run_signing(&ORDER_ROLE, &state, command, &operator)
        }
        Command::OrderKeys { command: None, json } => {
            let keys = order_key(&state).context(CouldNotTry("the order keys can't be read"))?;
            print(&keys.published(), json)
        }
        Command::Keys(command) => command.run(asker).await,
        Command::Gateway(command) => command.run(asker).await,
        Command::Region(command) => command.run(asker).await,
        Command::Pool(command) => run_pool(*command, asker).await,
        Command::Lease(command) => command.run(asker).await,
        Command::Complaint(complaint) => complaint.run(asker).await,
        Command::Report(report) => report.run(asker).await,
        Command::Journal(JournalCommand::Replay { journal, json }) => {
            let done = reconcile(&state, journal.as_deref(), SystemClock.now().week()).await;
            let replay = operator.noted(&state, SystemClock.now(), "journal-replay", "", done)?;
            print(&replay, json)
        }
        Command::Trail(command) => trail::run(command, &state),
    }
}

async fn run_pool(command: PoolCommand, asker: Asker<'_>) -> anyhow::Result<()> {
    match command {
        PoolCommand::Import(import) => import.run(asker).await,
        PoolCommand::Status(status) => status.run(asker).await,
        PoolCommand::List(list) => list.run(asker).await,
        PoolCommand::Drain(which) => which.run(asker, Service::Drained).await,
        PoolCommand::Block(which) => which.run(asker, Service::Blocked).await,
        PoolCommand::Open(which) => which.run(asker, Service::Open).await,
        PoolCommand::Move(which) => which.run(asker).await,
        PoolCommand::Tidy(arguments) => tidy(arguments, asker).await,
        PoolCommand::Forecast(forecast) => forecast.run(asker).await,
        PoolCommand::Geofeed(geofeed) => geofeed.run(asker).await,
        PoolCommand::Zones(zones) => zones.run(asker).await,
    }
}
