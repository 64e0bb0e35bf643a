//! What a statement yields.

use tokio_postgres::types::FromSql;

use crate::Error;
use crate::postgres::failure::ServerFailure;

/// A row. Columns are counted from 0; what isn't of the kind that is asked for is an [`Error::Statement`].
pub struct Row(tokio_postgres::Row);

impl Row {
    pub(super) const fn new(row: tokio_postgres::Row) -> Self {
        Self(row)
    }

    /// `N` bytes of a `bytea`.
    ///
    /// # Errors
    /// When they aren't `N`.
    pub fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], Error> {
        self.blob(column)?.try_into().map_err(|_| other_kind())
    }

    /// A `bytea` of any length.
    ///
    /// # Errors
    /// When it is none.
    pub fn blob(&self, column: usize) -> Result<&[u8], Error> {
        self.get(column)
    }

    /// What a `bytea` stands for.
    ///
    /// # Errors
    /// When `parse` refuses it.
    pub fn parsed<T, E>(
        &self,
        column: usize,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, Error> {
        parse(self.blob(column)?).map_err(|_| other_kind())
    }

    /// `N` bytes of a `bytea`, if there is one.
    ///
    /// # Errors
    /// When it is none.
    pub fn optional_bytes<const N: usize>(&self, column: usize) -> Result<Option<[u8; N]>, Error> {
        let found: Option<&[u8]> = self.get(column)?;
        found.map(|bytes| bytes.try_into().map_err(|_| other_kind())).transpose()
    }

    /// A `text`.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(&self, column: usize) -> Result<&str, Error> {
        self.get(column)
    }

    /// A `bigint` that fits.
    ///
    /// # Errors
    /// When it doesn't.
    pub fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Error> {
        T::try_from(self.get(column)?).map_err(|_| other_kind())
    }

    /// A `boolean`.
    ///
    /// # Errors
    /// When it is none.
    pub fn flag(&self, column: usize) -> Result<bool, Error> {
        self.get(column)
    }

    fn get<'a, T: FromSql<'a>>(&'a self, column: usize) -> Result<T, Error> {
        // The library's own error could quote the value.
        self.0.try_get(column).map_err(|_| other_kind())
    }
}

/// A value that this program wrote and can't read back is the database's fault, or that of a statement.
fn other_kind() -> Error {
    Error::Statement(ServerFailure::Kind.into())
}
