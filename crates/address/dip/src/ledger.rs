//! What is committed: in the journal first, then in the database.

use coarse::Week;
use lease::LeaseId;
use record::Steps;

use crate::Journal;
use crate::store::{Assignment, Committed, DipStore, Error, Held, Replay, Standing};

/// The database, and the journal that outlives it.
#[derive(Clone)]
pub struct Ledger<S> {
    store: S,
    journal: Journal,
    steps: Steps,
}

impl<S: DipStore> Ledger<S> {
    /// Both, in agreement: what one lacks of the other is made good first.
    ///
    /// # Errors
    /// Those of either.
    pub async fn open(store: S, journal: Journal, now: Week) -> Result<(Self, Replay), Error> {
        let replay = journal.reconcile(&store, now).await?;
        Ok((Self { store, journal, steps: Steps::default() }, replay))
    }

    /// The same ledger, which tells of its steps.
    #[must_use]
    pub fn telling(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    /// The database, for all that isn't committed here.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// As [`DipStore::commit`].
    ///
    /// # Errors
    /// Those of either; the same assignment may be committed again.
    pub async fn commit(&self, assignment: Assignment) -> Result<Committed, Error> {
        self.journal.note(assignment).await?;
        self.steps.reached("assign_journaled");
        let committed = self.store.commit(assignment).await?;
        if committed == Committed::Gone {
            self.journal.strike(assignment).await?;
            // The lease may have begun with another address, while this request was on its way.
            let present = self.store.standing(assignment.lease, Week::new(0)).await?;
            if let Standing::Leased(Held { address, ends, .. }) = present {
                self.journal.note(Assignment { address, ends, ..assignment }).await?;
            }
        }
        Ok(committed)
    }

    /// As [`DipStore::extend`], of a lease that was looked at just now.
    ///
    /// # Errors
    /// Those of either; may be repeated.
    pub async fn extend(&self, held: &Held, ends: Week) -> Result<bool, Error> {
        if ends > held.ends {
            self.journal.extend(held.lease, ends).await?;
            self.steps.reached("refresh_journaled");
        }
        self.store.extend(held.lease, ends).await
    }

    /// As [`DipStore::release`].
    ///
    /// # Errors
    /// Those of either; may be repeated.
    pub async fn release(&self, lease: LeaseId, ends: Week) -> Result<bool, Error> {
        self.journal.release(lease, ends).await?;
        self.steps.reached("release_journaled");
        self.store.release(lease, ends).await
    }

    /// As [`DipStore::tidy`], in both.
    ///
    /// # Errors
    /// Those of either; may be repeated.
    pub async fn tidy(&self, now: Week, quarantine: Week) -> Result<bool, Error> {
        let more = self.store.tidy(now, quarantine).await?;
        Ok(self.journal.tidy(now).await? || more)
    }
}
