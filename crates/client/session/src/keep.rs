//! Keeping a lease: one duty at a time, and never two sides in one breath.

use std::time::Duration;

use http_client::ClientError;
use wallet::{Dip, Duty, Outcome, Plan};

use crate::session::rng;
use crate::{Error, Remedy, Session};

impl Session {
    /// What is due by this wallet's plan, in the order in which it became due, and when somebody has to look again. Makes a plan for a
    /// lease that has none; `None` without a lease, or without the account that pays.
    ///
    /// # Errors
    /// [`Error::Wallet`].
    pub fn due(&mut self) -> Result<Option<(Vec<Duty>, coarse::UnixTime)>, Error> {
        let now = self.now();
        let wallet = self.wallet();
        let access_ends = match &wallet.dip {
            Dip::Leased(leased) => Some(leased.minted.dat_ends.start()),
            Dip::Restored(_) => None,
            _ => return Ok(None),
        };
        if wallet.account.is_none() {
            return Ok(None);
        }
        if wallet.plan.is_none() {
            let receipt_ends = wallet.srt.as_ref().map(|held| held.ends.start());
            let plan = Plan::new(now, receipt_ends, access_ends, &mut rng());
            self.file.change(|wallet| wallet.plan = Some(plan))?;
        }
        Ok(self.wallet().plan.as_ref().map(|plan| (plan.due(now), plan.wakes())))
    }

    /// Does what is due, and plans its next time. Only the side that the duty is about is asked: a refresh that lacks a receipt waits for
    /// hours after one was fetched, so that nobody can join the two by their times.
    ///
    /// # Errors
    /// Why it failed; the plan says when it is tried again.
    pub async fn fulfil(&mut self, duty: Duty) -> Result<(), Error> {
        self.apart = true;
        let done = match duty {
            Duty::Receipt => self.renew_srt().await.map(drop),
            Duty::Refresh => self.refresh().await.map(drop),
            Duty::Backup => self.rewrite_backup().await.map(drop),
        };
        self.apart = false;
        let (outcome, now) = (outcome_of(&done), self.now());
        self.file.change(|wallet| {
            if let Some(plan) = &mut wallet.plan {
                plan.tried(duty, outcome, now, &mut rng());
            }
        })?;
        done
    }
}

/// What a try means for the plan.
fn outcome_of(done: &Result<(), Error>) -> Outcome {
    let Err(error) = done else { return Outcome::Done };
    match (error, error.remedy()) {
        (Error::NoReceipt, _) => Outcome::NoReceipt,
        (_, Remedy::Repeat) => Outcome::Failed { retry_after: asked_to_wait(error) },
        _ => Outcome::Stuck,
    }
}

fn asked_to_wait(error: &Error) -> Option<Duration> {
    match error {
        Error::Service { error: ClientError::Problem(problem), .. } => {
            problem.retry_after.map(|seconds| Duration::from_secs(seconds.into()))
        }
        _ => None,
    }
}
