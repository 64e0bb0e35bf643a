//! How a database gets its tables.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

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

/// The texts of what was applied are kept in the file itself and compared at each start.
const LEDGER: &str = "CREATE TABLE IF NOT EXISTS applied_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sql TEXT NOT NULL
) STRICT, WITHOUT ROWID";

/// Brings the database to the newest step, or explains why it can't.
pub(crate) fn migrate(connection: &mut Connection, steps: &[Migration]) -> Result<(), Error> {
    for (step, number) in steps.iter().zip(1..) {
        if step.number != number {
            return Err(Error::Misnumbered { number: step.number });
        }
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(LEDGER)?;
    let applied = check_applied(&transaction, steps)?;
    for step in steps.iter().skip(applied) {
        transaction.execute_batch(step.sql)?;
        transaction.execute(
            "INSERT INTO applied_migrations (number, name, sql) VALUES (?1, ?2, ?3)",
            params![step.number, step.name, step.sql],
        )?;
    }
    refuse_serial_rows(&transaction)?;
    Ok(transaction.commit()?)
}

/// How many of `steps` the file has; an error when it has others.
fn check_applied(transaction: &Transaction<'_>, steps: &[Migration]) -> Result<usize, Error> {
    let mut query =
        transaction.prepare("SELECT number, sql FROM applied_migrations ORDER BY number")?;
    let mut rows = query.query([])?;
    let mut known = steps.iter();
    let mut applied = 0;
    while let Some(row) = rows.next()? {
        let (number, sql) = (row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
        let step = known.next().ok_or(Error::Newer { number })?;
        if (step.number, step.sql) != (number, sql) {
            return Err(Error::Changed { number });
        }
        applied += 1;
    }
    Ok(applied)
}

fn refuse_serial_rows(transaction: &Transaction<'_>) -> Result<(), Error> {
    let found = transaction.query_row(
        "SELECT name FROM pragma_table_list
         WHERE schema = 'main' AND type = 'table' AND wr = 0 AND name NOT LIKE 'sqlite@_%' ESCAPE '@'",
        [],
        |row| row.get(0),
    );
    match found {
        Ok(table) => Err(Error::SerialRows { table }),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
