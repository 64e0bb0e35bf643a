//! `keys list|prepare|activate|retire`, the same for every role.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;
use coarse::{Clock as _, SystemClock, UnixTime};
use serde_json::json;
use service::CouldNotTry;
use trail::{Operator, Trail};

use crate::file::{RingError, RingFile, fresh_signing_key};
use crate::ring::{Fresh, Ring, Rules, Standing};

/// A role: what its ring is called, its rules, and what to end a key at once costs.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// The ring's name, in the state directory and in the trail.
    pub name: &'static str,
    /// The rules of time.
    pub rules: Rules,
    /// What it costs to end a key before its time, for the operator.
    pub cost: &'static str,
    /// Whether former keys keep their secrets (those of roles that use them on after another one was activated).
    pub former_keys_work: bool,
}

/// Rotates a role's keys. Every step may be repeated.
#[derive(Subcommand, Clone, Debug)]
pub enum KeysCommand {
    /// Lists all keys, and from which hour on the next step is safe.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes the next key and publishes it. Changes nothing when there is one.
    Prepare {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes the next key the current one, once it was published for long enough.
    Activate {
        /// The current key is in wrong hands: changes over now, whoever doesn't know the next key yet, and ends the current key now.
        #[arg(long)]
        compromised: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ends former keys, once all that they signed has ended.
    Retire {
        /// This key alone; it may be the next one, too.
        #[arg(value_name = "KID")]
        kid: Option<String>,
        /// The key is in wrong hands: ends it now, with all that it signed.
        #[arg(long)]
        compromised: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a command on the ring of a role that signs with Ed25519, and leaves a line in the trail.
///
/// # Errors
/// [`RingError`].
pub fn run_signing(
    role: &Role,
    state: &Path,
    command: KeysCommand,
    operator: &Operator,
) -> anyhow::Result<()> {
    run(role, state, command, operator, || Ok(fresh_signing_key()?))
}

/// Runs a command on a role's ring, for which `fresh` makes keys, and leaves a line in the trail.
///
/// # Errors
/// [`RingError`], or what `fresh` gives.
pub fn run(
    role: &Role,
    state: &Path,
    command: KeysCommand,
    operator: &Operator,
    fresh: impl Fn() -> anyhow::Result<Fresh>,
) -> anyhow::Result<()> {
    const UNREADABLE: CouldNotTry = CouldNotTry("the keys can't be read");
    let now = SystemClock.now();
    let file = RingFile::of(state, role.name);
    let (action, json) = match &command {
        KeysCommand::List { json } => ("", *json),
        KeysCommand::Prepare { json } => ("keys-prepare", *json),
        KeysCommand::Activate { json, compromised: false } => ("keys-activate", *json),
        KeysCommand::Activate { json, .. } => ("keys-activate-compromised", *json),
        KeysCommand::Retire { json, compromised: false, .. } => ("keys-retire", *json),
        KeysCommand::Retire { json, .. } => ("keys-retire-compromised", *json),
    };
    let done = file.change(now, &fresh, |ring| step(role, ring, &command, now, &fresh));
    if !action.is_empty() {
        let (subject, outcome) = match &done {
            Ok(Done { changed: true, kids }) => (kids.join(" "), "done".to_owned()),
            Ok(_) => (String::new(), "unchanged".to_owned()),
            Err(error) => (String::new(), format!("refused: {error}")),
        };
        let subject = format!("{} {subject}", role.name);
        Trail::of(state)
            .append(now, &operator.label(), action, subject.trim_end(), &outcome)
            .context("no line could be left in the audit trail; the step itself may be repeated")?;
    }
    let changed = done
        .map_err(|error| match error.downcast_ref::<RingError>() {
            Some(RingError::File(_)) => error.context(UNREADABLE),
            _ => error,
        })?
        .changed;
    let ring = file.read().context(UNREADABLE)?.context(UNREADABLE)?;
    print(role, &ring, changed, json)
}

/// What a step did, and to which keys.
struct Done {
    changed: bool,
    kids: Vec<String>,
}

fn step(
    role: &Role,
    ring: &mut Ring,
    command: &KeysCommand,
    now: UnixTime,
    fresh: &impl Fn() -> anyhow::Result<Fresh>,
) -> anyhow::Result<Done> {
    let Role { rules, cost, .. } = role;
    let kid = |key: Option<&crate::Key>| key.map(|key| key.kid.clone()).into_iter().collect();
    let done = match command {
        KeysCommand::List { .. } => Done { changed: false, kids: Vec::new() },
        KeysCommand::Prepare { .. } if ring.next().is_some() => {
            Done { changed: false, kids: Vec::new() }
        }
        KeysCommand::Prepare { .. } => {
            let changed = ring.prepare(fresh()?, now, rules).map_err(RingError::from)?;
            Done { changed, kids: kid(ring.next()) }
        }
        KeysCommand::Activate { compromised, .. } => {
            let changed = ring.activate(now, rules, *compromised, cost).map_err(RingError::from)?;
            Done { changed, kids: kid(ring.current()) }
        }
        KeysCommand::Retire { kid, compromised, .. } => {
            let kids = ring
                .retire(kid.as_deref(), now, rules, *compromised, cost)
                .map_err(RingError::from)?;
            Done { changed: !kids.is_empty(), kids }
        }
    };
    if !role.former_keys_work {
        ring.forget_former_secrets();
    }
    Ok(done)
}

fn print(role: &Role, ring: &Ring, changed: bool, as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let safe_from = |key| Ring::safe_from(key, &role.rules);
    if as_json {
        let keys: Vec<_> = ring
            .keys()
            .map(|key| {
                json!({
                    "kid": key.kid,
                    "standing": key.standing,
                    "since": key.since.to_string(),
                    "safe_from": safe_from(key).map(|hour| hour.to_string()),
                })
            })
            .collect();
        let all = json!({ "role": role.name, "changed": changed, "keys": keys });
        return Ok(writeln!(out, "{all}")?);
    }
    for key in ring.keys() {
        let (standing, then) = match key.standing {
            Standing::Current => ("current", String::new()),
            Standing::Next => ("next", "activate from ".to_owned()),
            Standing::Former => ("former", "retire from ".to_owned()),
        };
        let then = safe_from(key).map_or(String::new(), |hour| format!("; {then}{hour} on"));
        writeln!(out, "{} {standing:<8} since {}{then}", key.kid, key.since)?;
    }
    Ok(())
}
