//! Results on standard output, everything else on standard error.

use std::fmt::Display;
use std::process::ExitCode;

use serde::Serialize;
use session::{Error, Narrator, Remedy};

/// Prints a line of a result.
#[expect(clippy::print_stdout, reason = "a command-line program's results")]
pub(crate) fn line(text: impl Display) {
    println!("{text}");
}

/// Prints a line that is not part of a result.
#[expect(clippy::print_stderr, reason = "a command-line program's progress")]
pub(crate) fn note(text: impl Display) {
    eprintln!("{text}");
}

/// Prints a result as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value).map_err(|error| Failure::failed(&error.into()))?);
    Ok(())
}

/// Tells the user on standard error.
pub(crate) struct Terminal {
    pub(crate) quiet: bool,
}

impl Narrator for Terminal {
    fn step(&self, what: &str) {
        if !self.quiet {
            note(format_args!("· {what}"));
        }
    }

    fn checked(&self, what: &str) {
        if !self.quiet {
            note(format_args!("  ✓ {what}"));
        }
    }

    fn warn(&self, what: &str) {
        note(format_args!("! {what}"));
    }
}

/// Why the program ends without having done what it was told to.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    remedy: Option<String>,
    status: u8,
}

impl Failure {
    /// Refused or failed: exit status 1.
    pub(crate) fn failed(error: &anyhow::Error) -> Self {
        Self { message: format!("{error:#}"), remedy: None, status: 1 }
    }

    /// Couldn't be tried: exit status 2.
    pub(crate) fn untried(error: &anyhow::Error) -> Self {
        Self { message: format!("{error:#}"), remedy: None, status: 2 }
    }

    /// Couldn't be tried, for a reason in one sentence.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: None, status: 2 }
    }

    /// Refused; what there is to say has been said.
    pub(crate) const fn refused() -> Self {
        Self { message: String::new(), remedy: None, status: 1 }
    }

    /// Tells the user, and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            note(format_args!("error: {}", self.message));
        }
        if let Some(remedy) = &self.remedy {
            note(format_args!("  → {remedy}"));
        }
        ExitCode::from(self.status)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let remedy = match error.remedy() {
            Remedy::Repeat => Some("nothing is lost; give the same command again".to_owned()),
            Remedy::Do(what) => Some(what.to_owned()),
            Remedy::Stop => None,
        };
        Self { message: error.to_string(), remedy, status: 1 }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(&error)
    }
}
