//! What a service stored, and what it received.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lab::Town;
use record::Recording;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params};
use tempfile::TempDir;

use crate::eventually;

/// A row: each column's value as text, bytes in hexadecimal.
pub type Row = BTreeMap<String, String>;

/// A copy of a service's database: the service has the file to itself while it runs.
pub struct Stored {
    connection: Connection,
    _room: TempDir,
}

impl Stored {
    /// Copies the database of a service as it is now.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn by(town: &Town, service: &str) -> Result<Self> {
        let path = town.home(service).join("state").join(format!("{service}.sqlite"));
        eventually(|| Self::copy(&path))
    }

    /// How many rows a query `SELECT count(*) ...` counts.
    ///
    /// # Errors
    /// The database's.
    pub fn count(&self, sql: &str, parameters: impl Params) -> Result<u32> {
        self.value(&format!("SELECT count(*) FROM {sql}"), parameters)
    }

    /// The one value that a query gives.
    ///
    /// # Errors
    /// The database's, and when there is no row.
    pub fn value<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        parameters: impl Params,
    ) -> Result<T> {
        self.connection.query_row(sql, parameters, |row| row.get(0)).with_context(|| sql.to_owned())
    }

    /// Every row of every table, and the tables themselves.
    ///
    /// # Errors
    /// The database's.
    pub fn dump(&self) -> Result<BTreeMap<String, BTreeSet<Row>>> {
        let mut all = BTreeMap::new();
        let rows = self.rows("sqlite_schema")?;
        let tables = rows.iter().filter(|row| row.get("type").is_some_and(|kind| kind == "table"));
        for name in tables.filter_map(|row| row.get("name")) {
            all.insert(name.clone(), self.rows(name)?);
        }
        all.insert("sqlite_schema".to_owned(), rows);
        Ok(all)
    }

    fn rows(&self, table: &str) -> Result<BTreeSet<Row>> {
        let mut statement = self.connection.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let names: Vec<String> = statement.column_names().into_iter().map(Into::into).collect();
        let mut rows = statement.query([])?;
        let mut all = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let mut columns = Row::new();
            for (index, name) in names.iter().enumerate() {
                let text = match row.get_ref(index)? {
                    ValueRef::Null => "null".to_owned(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    ValueRef::Blob(bytes) => hex::encode(bytes),
                };
                columns.insert(name.clone(), text);
            }
            all.insert(columns);
        }
        Ok(all)
    }

    /// The service goes on writing meanwhile. When nothing changed between two readings, file and journal belong
    /// together: a journal that isn't empty takes back what was half written.
    fn copy(path: &Path) -> Result<Self> {
        let journal = with_journal(path);
        let read = || -> Result<_> {
            let journal = if journal.exists() { std::fs::read(&journal)? } else { Vec::new() };
            Ok((std::fs::read(path)?, journal))
        };
        let (main, journal) = read()?;
        ensure!(read()? == (main.clone(), journal.clone()), "it is being written");
        let room = tempfile::tempdir()?;
        let copy = room.path().join("copy.sqlite");
        std::fs::write(&copy, main)?;
        std::fs::write(with_journal(&copy), journal)?;
        let connection = Connection::open(&copy)?;
        let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        ensure!(sound == "ok", "{sound}");
        Ok(Self { connection, _room: room })
    }
}

fn with_journal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-journal");
    name.into()
}

/// All bytes that a tapped service received so far, from one start to the next.
pub struct Received(Vec<Recording>);

impl Received {
    /// What a service received: `accounts`, `issuer`, `parent`, `dip` or `gateway`.
    ///
    /// # Errors
    /// When there is no recording.
    pub fn by(town: &Town, service: &str) -> Result<Self> {
        let recordings = lab::recordings(&town.home(service))?;
        ensure!(!recordings.is_empty(), "{service} has no tap");
        let load = |path: &PathBuf| Ok(Recording::load(path)?);
        Ok(Self(recordings.iter().map(load).collect::<Result<_>>()?))
    }

    /// What the enclave received, and what it unsealed and sealed.
    ///
    /// # Errors
    /// When there is no recording.
    pub fn by_enclave(town: &Town) -> Result<Self> {
        Self::by(town, "nsm")
    }

    /// Whether these bytes came in, on one connection or in one note: as they are, or in hexadecimal or base64.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.together(&[bytes])
    }

    /// Whether all of these came in on one and the same connection, or in one note.
    #[must_use]
    pub fn together(&self, all: &[&[u8]]) -> bool {
        let all: Vec<_> = all.iter().map(|bytes| forms(bytes)).collect();
        let within = |piece: &[u8], forms: &[Vec<u8>]| forms.iter().any(|form| find(piece, form));
        self.0
            .iter()
            .flat_map(Recording::pieces)
            .any(|piece| all.iter().all(|forms| within(piece, forms)))
    }
}

fn find(piece: &[u8], form: &[u8]) -> bool {
    piece.windows(form.len()).any(|window| window == form)
}

/// The bytes as they may be written. In base64 they may begin at any of three places of a group, and what the
/// groups at either end share with other bytes is left out.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![bytes.to_vec(), hex::encode(bytes).into_bytes()];
    for (shift, shared) in [(0, 0), (1, 2), (2, 3)] {
        let mut shifted = vec![0; shift];
        shifted.extend(bytes);
        let whole = shifted.len() * 8 / 6;
        let url_safe = URL_SAFE_NO_PAD.encode(shifted);
        let inner = url_safe.get(shared..whole).unwrap_or_default().to_owned();
        forms.push(inner.replace('-', "+").replace('_', "/").into_bytes());
        forms.push(inner.into_bytes());
    }
    forms.retain(|form| !form.is_empty());
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_however_they_are_written() {
        for before in 0..4 {
            let mut all = vec![7; before];
            all.extend(b"sixteen letters!");
            all.extend([9; 5]);
            for text in [URL_SAFE_NO_PAD.encode(&all), hex::encode(&all)] {
                let piece = format!("{{\"a\":\"{text}\"}}");
                let found =
                    |needle: &[u8]| forms(needle).iter().any(|form| find(piece.as_bytes(), form));
                assert!(found(b"sixteen letters!"), "{before}");
                assert!(!found(b"sixteen letterz!"));
            }
        }
    }
}
