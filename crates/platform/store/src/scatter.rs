//! Rows that don't tell when they came.
//!
//! SQLite fills a page from its end, in order of arrival, whatever the order of keys: the offsets of
//! two rows in the file say which is older. The remedy is to take a row and all rows that may share a
//! page with it out, and to put them back in random order, whenever a row was written.

use rand_core::CryptoRng;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{ToSql, params_from_iter};

use crate::{Error, Writer};

/// SQLite's default size of a page, in bytes.
const PAGE: usize = 4096;

/// What each row takes on a page besides its columns (one byte each and their values): a pointer of two
/// bytes and two lengths.
const CELL: usize = 4;

/// A table whose rows' order of arrival must not be readable from the file.
///
/// It must be `WITHOUT ROWID`, without triggers and generated columns, and no foreign key may refer to it
/// with an action. Columns of indexes are `NOT NULL`. A row should stay under 1,000 bytes: what is
/// longer goes to pages of its own, which are numbered as they are needed.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The table's name.
    pub name: &'static str,
    /// The primary key's columns, in their order.
    pub key: &'static [&'static str],
    /// The columns of each further index (`CREATE INDEX`, `UNIQUE`): it has pages, and thus an order, of
    /// its own.
    pub indexes: &'static [&'static [&'static str]],
}

/// The columns of one row, in the table's order.
type Record = Vec<Value>;

impl Writer<'_> {
    /// Moves the row with this primary key and its neighbours, in the table and in its indexes, to random
    /// places. Call it after each insert or update of a row, in the same job. [`Error::NoRow`] when the
    /// row isn't there.
    pub fn scatter(
        &self,
        table: &Table,
        key: &[&dyn ToSql],
        rng: &mut impl CryptoRng,
    ) -> Result<(), Error> {
        let by_key = [&[] as &[&str]];
        for index in by_key.iter().chain(table.indexes) {
            let mut records = self.page_of(table, index, key, ">=", "ASC")?;
            if records.is_empty() {
                return Err(Error::NoRow);
            }
            records.extend(self.page_of(table, index, key, "<", "DESC")?);
            shuffle(&mut records, rng);
            self.rewrite(table, &records)?;
        }
        Ok(())
    }

    /// The rows on one side of a row, in the order of an index (none: the primary key), as many as may
    /// lie on one page with it.
    fn page_of(
        &self,
        table: &Table,
        index: &[&str],
        key: &[&dyn ToSql],
        side: &str,
        direction: &str,
    ) -> Result<Vec<Record>, Error> {
        let order: Vec<&str> = index.iter().chain(table.key).copied().collect();
        let mut statement = self.prepare(&neighbours(table, &order, side, direction))?;
        let width = statement.column_count();
        let stored: Vec<usize> = if index.is_empty() {
            (0..width).collect()
        } else {
            order.iter().map(|column| statement.column_index(column)).collect::<Result<_, _>>()?
        };
        let (mut records, mut filled) = (Vec::new(), 0);
        let mut rows = statement.query(key)?;
        while filled < PAGE
            && let Some(row) = rows.next()?
        {
            filled += CELL;
            for &column in &stored {
                filled += 1 + least_size(row.get_ref(column)?);
            }
            records.push((0..width).map(|column| row.get(column)).collect::<Result<_, _>>()?);
        }
        Ok(records)
    }

    fn rewrite(&self, table: &Table, records: &[Record]) -> Result<(), Error> {
        let width = records.first().map_or(0, Vec::len);
        let remove = format!("DELETE FROM {} WHERE {}", table.name, equals(table.key));
        let places = vec!["?"; width].join(", ");
        let insert = format!("INSERT INTO {} VALUES ({places})", table.name);
        let key_columns = self.key_columns(table)?;
        for record in records {
            let key = key_columns.iter().filter_map(|&column| record.get(column));
            self.execute(&remove, params_from_iter(key))?;
        }
        for record in records {
            self.execute(&insert, params_from_iter(record))?;
        }
        Ok(())
    }

    fn key_columns(&self, table: &Table) -> Result<Vec<usize>, Error> {
        let statement = self.prepare(&format!("SELECT * FROM {}", table.name))?;
        let columns = table.key.iter().map(|column| statement.column_index(column));
        Ok(columns.collect::<Result<_, _>>()?)
    }
}

/// Rows on one side of the row whose primary key is bound, nearest first.
fn neighbours(table: &Table, order: &[&str], side: &str, direction: &str) -> String {
    let (name, columns) = (table.name, order.join(", "));
    let sorted = order.join(&format!(" {direction}, "));
    format!(
        "SELECT * FROM {name}
         WHERE ({columns}) {side} (SELECT {columns} FROM {name} WHERE {})
         ORDER BY {sorted} {direction}",
        equals(table.key)
    )
}

fn equals(columns: &[&str]) -> String {
    let terms: Vec<_> =
        columns.iter().zip(1..).map(|(column, number)| format!("{column} = ?{number}")).collect();
    terms.join(" AND ")
}

/// How few bytes a value may take in the file. Small integers take none.
fn least_size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], rng: &mut impl CryptoRng) {
    for end in (1..items.len()).rev() {
        let other = (u128::from(rng.next_u64()) * (end as u128 + 1)) >> 64;
        items.swap(end, other as usize);
    }
}
