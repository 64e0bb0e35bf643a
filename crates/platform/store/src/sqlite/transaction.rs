//! What a job may do: read, or read and write.

use std::ops::Deref;

use rusqlite::{CachedStatement, Connection, Params, Row};

use crate::Error;

/// Reads inside one transaction. Statements are compiled once and kept.
pub struct Reader<'a> {
    connection: &'a Connection,
    may_write: bool,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(connection: &'a Connection) -> Self {
        Self { connection, may_write: false }
    }

    /// The one row that `sql` yields, through `take`. [`Error::NoRow`] when there is none.
    pub fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        take: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        Ok(self.prepare(sql)?.query_row(params, take)?)
    }

    /// The one row that `sql` yields, through `take`; `None` when there is none.
    pub fn optional<T>(
        &self,
        sql: &str,
        params: impl Params,
        take: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        match self.row(sql, params, take) {
            Ok(found) => Ok(Some(found)),
            Err(Error::NoRow) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All rows that `sql` yields, each through `take`.
    pub fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        take: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.prepare(sql)?;
        let rows = statement.query_map(params, take)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn prepare(&self, sql: &str) -> Result<CachedStatement<'a>, Error> {
        let statement = self.connection.prepare_cached(sql)?;
        if self.may_write || statement.readonly() { Ok(statement) } else { Err(Error::ReadOnly) }
    }
}

/// Reads and writes inside one transaction; `row`, `optional` and `all` also take `... RETURNING`.
pub struct Writer<'a>(Reader<'a>);

impl<'a> Writer<'a> {
    pub(crate) const fn new(connection: &'a Connection) -> Self {
        Self(Reader { connection, may_write: true })
    }

    /// Runs a statement and returns how many rows it inserted, changed or deleted.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        Ok(self.0.prepare(sql)?.execute(params)?)
    }
}

impl<'a> Deref for Writer<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.0
    }
}
