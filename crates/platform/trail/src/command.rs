//! `cloakroom-SERVICE trail list|verify`, and who the operator is.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use coarse::UnixTime;
use service::CouldNotTry;

use crate::chain::{Hash, Head};
use crate::{Trail, TrailError};

/// Who does it.
#[derive(Args, Clone, Debug)]
pub struct Operator {
    /// Your label in the audit trail; the number of the system's user when not given.
    #[arg(long = "operator", value_name = "NAME", global = true)]
    name: Option<String>,
}

/// Looks at the audit trail of what operators did.
#[derive(Subcommand, Clone, Debug)]
pub enum TrailCommand {
    /// Prints every line, once the chain was checked.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Checks the chain and prints its head: note it elsewhere, so that lines cut off at the end are found, too.
    Verify {
        /// The hash of a head that was noted before.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Operator {
    /// The label.
    #[must_use]
    pub fn label(&self) -> String {
        let user = || format!("uid-{}", rustix::process::getuid().as_raw());
        self.name.clone().unwrap_or_else(user)
    }

    /// Leaves a line for what was done: `done`, or why it failed.
    ///
    /// # Errors
    /// What the act gave, else the trail's: an act without its line isn't over.
    pub fn noted<T>(
        &self,
        state: &Path,
        now: UnixTime,
        action: &str,
        subject: &str,
        done: anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let outcome = match &done {
            Ok(_) => "done".to_owned(),
            Err(error) => format!("failed: {error}"),
        };
        Trail::of(state)
            .append(now, &self.label(), action, subject, &outcome)
            .context("no line could be left in the audit trail")?;
        done
    }
}

/// Runs a command on the trail in a state directory.
///
/// # Errors
/// [`TrailError`] for a trail that is broken; [`CouldNotTry`] for one that can't be read.
pub fn run(command: TrailCommand, state: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match command {
        TrailCommand::List { json } => {
            let (lines, _) = read(state, None)?;
            if json {
                return Ok(writeln!(out, "{}", serde_json::json!({ "lines": lines }))?);
            }
            for line in lines {
                let entry = line.entry;
                let (who, what) = (entry.operator, entry.action);
                writeln!(out, "{} {who} {what} {} {}", entry.hour, entry.subject, entry.outcome)?;
            }
            Ok(())
        }
        TrailCommand::Verify { head, json } => {
            let noted = head.map(|head| parse(&head)).transpose()?;
            let (_, Head { lines, head }) = read(state, noted)?;
            let head = head.to_hex();
            if json {
                let verified = serde_json::json!({ "ok": true, "lines": lines, "head": head });
                return Ok(writeln!(out, "{verified}")?);
            }
            Ok(writeln!(out, "{lines} lines, unbroken. Note the head elsewhere:\n{head}")?)
        }
    }
}

fn read(state: &Path, noted: Option<Hash>) -> anyhow::Result<(Vec<crate::Line>, Head)> {
    Trail::of(state).verify(noted).map_err(|error| match error {
        TrailError::Io(..) => {
            anyhow::Error::new(error).context(CouldNotTry("the trail can't be read"))
        }
        error => error.into(),
    })
}

fn parse(text: &str) -> anyhow::Result<Hash> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash)
        .context(CouldNotTry("a head is 64 hexadecimal digits"))?;
    Ok(Hash(hash))
}
