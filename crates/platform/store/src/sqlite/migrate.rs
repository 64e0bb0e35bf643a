//! How a file gets its tables.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::migration::check_numbers;
use crate::{Error, Migration};

/// The texts of what was applied are kept in the file itself and compared at each start.
const LEDGER: &str = "CREATE TABLE IF NOT EXISTS applied_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sql TEXT NOT NULL
) STRICT, WITHOUT ROWID";

/// Brings the database to the newest step, or explains why it can't.
pub(super) fn migrate(connection: &mut Connection, steps: &[Migration]) -> Result<(), Error> {
    check_numbers(steps)?;
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
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let applied: Vec<(u32, String)> = rows.collect::<Result<_, _>>()?;
    crate::migration::check_applied(&applied, steps)
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
