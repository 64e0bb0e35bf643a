//! `cloakroom dip`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lease::Region;
use peer_key::PeerKey;
use serde_json::{Value, json};
use session::Session;
use wallet::{Dip as State, Leased};

use crate::arguments::{Dip, Global};
use crate::commands::{backup, home, restore, session};
use crate::control;
use crate::output::{Failure, json, line, note};

pub(crate) async fn run(global: &Global, command: Dip) -> Result<(), Failure> {
    let mut session = session(global)?;
    match command {
        Dip::Assign { region, wait } => {
            let region = region
                .map(Region::try_from)
                .transpose()
                .map_err(|error| Failure::usage(error.to_string()))?;
            session.assign(region, wait).await?;
            status(global, &session)
        }
        Dip::Status => status(global, &session),
        Dip::Refresh => {
            session.refresh().await?;
            status(global, &session)?;
            backup::remind(&session);
            // An open tunnel goes on under the new token.
            drop(session);
            control::tell_if_running(&home(global)?, control::Request::Reload)
        }
        Dip::Forget { .. } => {
            session.forget()?;
            status(global, &session)
        }
        Dip::GiveBack { .. } => {
            session.give_back().await?;
            note(
                "The address is given back. What this device still holds for it ends within three days.",
            );
            status(global, &session)
        }
        Dip::Backup(arguments) => backup::run(global, session, arguments).await,
        Dip::Restore => {
            restore::run(&mut session).await?;
            status(global, &session)
        }
        Dip::Export { out } => export(&session, out.as_deref()).await,
    }
}

fn status(global: &Global, session: &Session) -> Result<(), Failure> {
    let dip = &session.wallet().dip;
    let state = match dip {
        State::Nothing => "none",
        State::Drawing(_) => "drawing",
        State::Drawn(_) => "drawn",
        State::Leased(_) => "leased",
        State::Restored(_) => "restored",
    };
    let leased = match dip {
        State::Leased(leased) => Some(leased),
        _ => None,
    };
    if let State::Restored(restored) = dip {
        return restore::status(global, restored);
    }
    if global.json {
        return json(&leased.map_or_else(
            || json!({ "state": state }),
            |leased| describe(leased, &session.wallet().device.public()),
        ));
    }
    match (dip, leased) {
        (_, Some(leased)) => {
            let minted = &leased.minted;
            line(format_args!("dedicated IP   {}", minted.ip));
            line(format_args!("region         {}", minted.region));
            line(format_args!("access until   {}", minted.dat_ends));
            line(format_args!("refresh before {}", minted.drt_ends));
            if let Some(notice) = leased.frozen.as_ref() {
                line(format_args!("FROZEN         case {}: {}", notice.reference, notice.text));
            } else if let Some(notice) = minted.notice.as_ref() {
                line(format_args!("notice         case {}: {}", notice.reference, notice.text));
            }
        }
        (State::Nothing, _) => line("No dedicated IP. Get one: cloakroom dip assign"),
        _ => line("A token is being drawn or waits to be used. Go on: cloakroom dip assign"),
    }
    Ok(())
}

fn describe(leased: &Leased, device: &PeerKey) -> Value {
    let minted = &leased.minted;
    json!({
        "state": "leased",
        "dedicated_ip": minted.ip,
        "region": minted.region,
        "lease": minted.lease,
        "dat_ends": minted.dat_ends.to_string(),
        "drt_ends": minted.drt_ends.to_string(),
        "device_key": device,
        "gateway": leased.gateway,
        "frozen": leased.frozen,
        "notice": minted.notice,
    })
}

async fn export(session: &Session, out: Option<&Path>) -> Result<(), Failure> {
    let plan = session.tunnel_plan()?;
    let peer = plan.present().await?;
    let text = plan.stock_configuration(&peer);
    let Some(path) = out else {
        line(text.trim_end());
        return Ok(());
    };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    note(format_args!(
        "Written to {}; the gateway lets this device in until {}.",
        path.display(),
        peer.ends
    ));
    Ok(())
}
