//! The command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use key_ring::KeysCommand;
use record::Tap;
use trail::{Operator, TrailCommand};
use tunnel::Observer;

use crate::serve::{ServeArguments, serve};
use crate::state::{TunnelKeys, WIREGUARD_ROLE, fresh_key};

/// The gateway: leased addresses to WireGuard peers.
#[derive(Parser)]
#[command(name = "cloakroom-gateway", version)]
struct Arguments {
    /// Where the database and the WireGuard keys are kept.
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
    /// Prints the gateway's present WireGuard key.
    PublicKey {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// The WireGuard keys that tunnels end with. What changes counts from the gateway's next start on.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// The audit trail of what operators did.
    Trail {
        #[command(subcommand)]
        command: TrailCommand,
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
            let key = TunnelKeys::load(&state)?.current.public();
            let mut out = std::io::stdout();
            if json {
                writeln!(out, "{}", serde_json::json!({ "public_key": key }))?;
            } else {
                writeln!(out, "{key}")?;
            }
            Ok(())
        }
        Command::Keys { command } => {
            key_ring::run(&WIREGUARD_ROLE, &state, command, &arguments.operator, fresh_key)
        }
        Command::Trail { command } => trail::run(command, &state),
    }
}
