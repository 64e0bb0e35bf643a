//! Values that go with a statement.

use std::error::Error as StdError;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A value for a place (`$1`, `$2`, ...) of a statement.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Bytes, for a `bytea`.
    Bytes(&'a [u8]),
    /// Several of them, for a `bytea[]`.
    Several(&'a [&'a [u8]]),
    /// Text, for a `text`.
    Text(&'a str),
    /// A number, for a `bigint`. Those above its largest are refused.
    Number(u64),
    /// Yes or no, for a `boolean`.
    Flag(bool),
}

/// A value isn't for such a column.
#[derive(Debug, thiserror::Error)]
#[error("a value isn't of the kind that the statement takes")]
struct Misplaced;

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match (self, kind) {
            (Self::Bytes(bytes), &Type::BYTEA) => bytes.to_sql(kind, out),
            (Self::Several(several), &Type::BYTEA_ARRAY) => several.to_sql(kind, out),
            (Self::Text(text), &Type::TEXT) => text.to_sql(kind, out),
            (Self::Number(number), &Type::INT8) => i64::try_from(*number)?.to_sql(kind, out),
            (Self::Flag(flag), &Type::BOOL) => flag.to_sql(kind, out),
            _ => Err(Misplaced.into()),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::BYTEA, Type::BYTEA_ARRAY, Type::TEXT, Type::INT8, Type::BOOL].contains(kind)
    }

    to_sql_checked!();
}

/// Nothing of the value: it may be anybody's.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Several(_) => "Several",
            Self::Text(_) => "Text",
            Self::Number(_) => "Number",
            Self::Flag(_) => "Flag",
        })
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
