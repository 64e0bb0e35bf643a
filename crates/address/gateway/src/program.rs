//! The command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use record::Tap;
use tunnel::Observer;

use crate::serve::{ServeArguments, serve};
use crate::state::tunnel_key;

/// The gateway: leased addresses to WireGuard peers.
#[derive(Parser)]
#[command(name = "cloakroom-gateway", version)]
struct Arguments {
    /// Where the database and the WireGuard key are kept.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until told to stop.
    Serve(Box<ServeArguments>),
    /// Prints the gateway's WireGuard key.
    PublicKey {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The whole program; `tap` hears what the control API receives, `observer` what the tunnels do.
pub fn main(tap: impl Tap, observer: impl Observer) -> ExitCode {
    service::run_program(run(Arguments::parse(), tap, observer))
}

async fn run(arguments: Arguments, tap: impl Tap, observer: impl Observer) -> anyhow::Result<()> {
    let state = arguments.state;
    match arguments.command {
        Command::Serve(arguments) => serve(&state, *arguments, tap, observer).await,
        Command::PublicKey { json } => {
            let key = tunnel_key(&state)?.public();
            let mut out = std::io::stdout();
            if json {
                writeln!(out, "{}", serde_json::json!({ "public_key": key }))?;
            } else {
                writeln!(out, "{key}")?;
            }
            Ok(())
        }
    }
}
