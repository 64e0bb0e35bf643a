//! `cloakroom daemon`: keeps the dedicated IP for as long as the subscription is paid.
//!
//! What is due when stands in the wallet (`wallet::Plan`), so that a restart brings nothing forward. The wallet is open only while something
//! is done or looked up: other commands go on beside the daemon.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use coarse::UnixTime;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use session::{Error, Remedy};
use tokio::signal::unix::{SignalKind, signal};
use wallet::Duty;

use crate::arguments::{Daemon, Global};
use crate::commands::{home, session};
use crate::control;
use crate::output::{Failure, json, line, note};

/// How often the clock and the wallet are looked at: the machine may have slept, and another command may have got a lease.
const GLANCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(global: &Global, options: Daemon) -> Result<(), Failure> {
    if options.status {
        return status(global);
    }
    let _only = lock(&home(global)?)?;
    if options.once {
        let wakes = do_what_is_due(global).await?;
        if !global.quiet {
            note(told_next(wakes));
        }
        return Ok(());
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    let mut announced = None;
    loop {
        let wakes = do_what_is_due(global).await?;
        if announced != Some(wakes) && !global.quiet {
            note(told_next(wakes));
        }
        announced = Some(wakes);
        // Nobody waits for a duty that is under way: each is on disk before it is sent, and is done again if it is cut.
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = tokio::time::sleep(GLANCE) => {}
        }
    }
}

/// When something is due next, for people.
fn told_next(wakes: Option<UnixTime>) -> String {
    wakes.map_or_else(
        || "· There is no dedicated IP to keep, or no account that pays".to_owned(),
        |wakes| format!("· Next: {}", wakes.hour()),
    )
}

/// Does what is due. When to look again; `None` when there is nothing to keep.
async fn do_what_is_due(global: &Global) -> Result<Option<UnixTime>, Failure> {
    // Another command has the wallet: a minute later it won't.
    let mut session = match session(global) {
        Err(failure) if failure.is_busy() => return Ok(Some(global.clock.now().plus(GLANCE))),
        opened => opened?,
    };
    let Some((due, _)) = session.due()? else { return Ok(None) };
    let mut refreshed = false;
    for duty in due {
        // What one does may put another off.
        if !session.due()?.is_some_and(|(due, _)| due.contains(&duty)) {
            continue;
        }
        let done = session.fulfil(duty).await;
        told(global, duty, &done)?;
        refreshed |= done.is_ok() && duty == Duty::Refresh;
    }
    let wakes = session.due()?.map(|(_, wakes)| wakes);
    // An open tunnel goes on under the new token, which it takes from the wallet.
    drop(session);
    if refreshed {
        control::tell_if_running(&home(global)?, control::Request::Reload)?;
    }
    Ok(wakes)
}

fn told(global: &Global, duty: Duty, done: &Result<(), Error>) -> Result<(), Failure> {
    if let Err(error) = done {
        note(format_args!("! {}: {error}", duty.as_str()));
        if let Remedy::Do(what) = error.remedy() {
            note(format_args!("  → {what}"));
        }
    }
    if global.json {
        let error = done.as_ref().err().map(ToString::to_string);
        return json(&json!({ "duty": duty, "done": done.is_ok(), "error": error }));
    }
    if done.is_ok() {
        note(format_args!("  ✓ {}", duty.as_str()));
    }
    Ok(())
}

fn status(global: &Global) -> Result<(), Failure> {
    let home = home(global)?;
    let running = lock(&home).is_err();
    let session = session(global)?;
    let plan = session.wallet().plan.as_ref();
    let next = |duty| plan.and_then(|plan| plan.next(duty)).map(|next| next.hour().to_string());
    if global.json {
        let all = Duty::ALL.map(|duty| (duty.as_str().to_owned(), json!(next(duty))));
        let next = Value::Object(all.into_iter().collect());
        return json(&json!({ "running": running, "next": next }));
    }
    line(format_args!("daemon   {}", if running { "running" } else { "not running" }));
    for duty in Duty::ALL {
        let next = next(duty).unwrap_or_else(|| "-".into());
        line(format_args!("{:8} {next}", duty.as_str()));
    }
    Ok(())
}

/// One daemon a wallet.
fn lock(home: &Path) -> Result<File, Failure> {
    let path = home.join("daemon.lock");
    let open = || {
        DirBuilder::new().recursive(true).mode(0o700).create(home)?;
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)
    };
    let file = open().map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Failure::usage(format!("a daemon looks after the wallet in {} already", home.display()))
    })?;
    Ok(file)
}
