//! `cloakroom`: the client, the demo and the attestation check.

mod arguments;
mod commands;
mod control;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::output::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::untried(&anyhow::Error::from(error)).report(),
    };
    match runtime.block_on(run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Trust(command) => commands::trust::run(&global, command).await,
        Command::Account(command) => commands::account::run(&global, command).await,
        Command::Dip(command) => commands::dip::run(&global, command).await,
        Command::Device(command) => commands::device::run(&global, command).await,
        Command::Connect(options) => commands::connect::run(&global, options).await,
        Command::Disconnect => commands::connect::disconnect(&global),
        Command::Status => commands::connect::status(&global),
        Command::Attestation(command) => commands::attestation::run(&global, command),
        Command::Provider(command) => commands::provider::run(command),
        Command::Demo(options) => commands::demo::run(&global, &options),
        Command::Bench(options) => commands::demo::bench(&global, &options),
        Command::Completions { shell } => commands::completions::run(shell),
    }
}
