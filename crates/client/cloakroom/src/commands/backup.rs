//! `cloakroom dip backup`.

use access_code::AccessCode;
use clap::{Args, Subcommand};
use encoding::Base64Url;
use serde_json::json;
use session::{BackupCode, BackupStatus, Session};
use wallet::Dip;

use crate::arguments::Global;
use crate::commands::input;
use crate::output::{Failure, json, line, note};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BackupArguments {
    /// Take an Access Code of your own instead of a generated one; it is read from standard input.
    #[arg(long, conflicts_with = "remove")]
    own_code: bool,
    /// Make another Access Code. The former one is good until the backup under the new one is there.
    #[arg(long, conflicts_with_all = ["own_code", "remove"])]
    new_code: bool,
    /// Remove the backup. Other devices that have the address keep it.
    #[arg(long)]
    remove: bool,
    #[command(subcommand)]
    command: Option<BackupCommand>,
}

#[derive(Subcommand)]
enum BackupCommand {
    /// Ask the backup service what it has of this wallet's backup.
    Status,
}

pub(crate) async fn run(
    global: &Global,
    mut session: Session,
    arguments: BackupArguments,
) -> Result<(), Failure> {
    if let Some(BackupCommand::Status) = arguments.command {
        return status(global, &session).await;
    }
    if arguments.remove {
        session.remove_backup().await?;
        return if global.json {
            json(&json!({ "backup": BackupStatus::None }))
        } else {
            line("There is no backup any more.");
            Ok(())
        };
    }
    let code = if arguments.own_code {
        let text = input::secret("An Access Code of your own (12 characters at least):")?;
        let own = AccessCode::choose(&text).map_err(|error| Failure::usage(error.to_string()))?;
        BackupCode::Own(own)
    } else if arguments.new_code {
        BackupCode::New
    } else {
        BackupCode::Same
    };
    session.back_up(code).await?;
    show(global, &session)?;
    session.code_was_shown()?;
    if let Err(error) = session.remove_former_backups().await {
        let failure = Failure::from(error);
        note(format_args!(
            "! The backup under the former code is still there ({failure}); it is removed with the next: cloakroom dip backup"
        ));
    }
    Ok(())
}

/// What was made, with the code if nobody has seen it yet.
fn show(global: &Global, session: &Session) -> Result<(), Failure> {
    let code = session.unshown_code().map(AccessCode::to_text);
    if global.json {
        let mut made = json!({ "backup": BackupStatus::Current, "locator": locator(session) });
        if let (Some(code), Some(made)) = (&code, made.as_object_mut()) {
            made.insert("access_code".to_owned(), json!(code.as_str()));
        }
        return json(&made);
    }
    let Some(code) = code else {
        line("The backup holds this wallet's refresh token, under the Access Code that you have.");
        return Ok(());
    };
    line(format_args!("Access Code   {}", code.as_str()));
    note(
        "Write it down and keep it away from this device: it is shown this once, and nobody can tell it to you again.",
    );
    note("On another device, after `cloakroom account login`: cloakroom dip restore");
    note(
        "Whoever has neither the code nor a device any more asks support for a reset and is assigned another address.",
    );
    Ok(())
}

async fn status(global: &Global, session: &Session) -> Result<(), Failure> {
    let status = session.backup_status().await?;
    if global.json {
        return json(&json!({ "backup": status, "locator": locator(session) }));
    }
    line(match status {
        BackupStatus::None => "This wallet has no backup. Make one: cloakroom dip backup",
        BackupStatus::Current => "The backup holds this wallet's refresh token.",
        BackupStatus::Other => {
            "The backup holds another refresh token than this wallet: an earlier one, or another device's. Write this one: cloakroom dip backup"
        }
        BackupStatus::Missing => {
            "The backup service has no backup that opens. Write it anew: cloakroom dip backup"
        }
    });
    Ok(())
}

/// Where the backup is.
fn locator(session: &Session) -> Option<Base64Url> {
    let keys = session.wallet().backup.current().ok().flatten()?;
    Some(Base64Url(keys.locator().bytes().to_vec()))
}

/// After a refresh: the backup holds the former refresh token.
pub(crate) fn remind(session: &Session) {
    let wallet = session.wallet();
    if let Dip::Leased(leased) = &wallet.dip
        && !wallet.backup.is_empty()
        && !wallet.backup.holds(&leased.minted.drt)
    {
        note(
            "The backup holds an earlier refresh token, good for 60 days. Write this one some time: cloakroom dip backup",
        );
    }
}
