//! The steps of a schema.

use crate::Error;

/// One step of a schema. Steps are only ever appended: a released one never changes.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// 1 for the first step, then one more each.
    pub number: u32,
    /// What it does, for people.
    pub name: &'static str,
    /// The statements. Tables must be `WITHOUT ROWID`.
    pub sql: &'static str,
}

/// Whether steps are numbered as they must be.
pub(crate) fn check_numbers(steps: &[Migration]) -> Result<(), Error> {
    for (step, number) in steps.iter().zip(1..) {
        if step.number != number {
            return Err(Error::Misnumbered { number: step.number });
        }
    }
    Ok(())
}

/// How many of `steps` were applied, by their numbers and texts in order; an error when others were.
pub(crate) fn check_applied(
    applied: &[(u32, String)],
    steps: &[Migration],
) -> Result<usize, Error> {
    let mut known = steps.iter();
    for (number, sql) in applied {
        let number = *number;
        let step = known.next().ok_or(Error::Newer { number })?;
        if (step.number, step.sql) != (number, sql) {
            return Err(Error::Changed { number });
        }
    }
    Ok(applied.len())
}
