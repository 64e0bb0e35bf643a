//! What a thief of a disk reads: every file, and every row of every database.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

/// The first bytes of every SQLite database, whatever its file is called.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// All regular files in and under `root` (or `root` itself, when it is a file), sorted by path.
/// Symbolic links aren't followed.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let read = || format!("reading {}", path.display());
        let kind = fs::symlink_metadata(&path).with_context(read)?.file_type();
        if kind.is_file() {
            found.push(path);
        } else if kind.is_dir() {
            for entry in fs::read_dir(&path).with_context(read)? {
                waiting.push(entry.with_context(read)?.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The file's content.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// `path` as seen from `root`, for people.
pub(crate) fn shown(path: &Path, root: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(inner) if inner != Path::new("") => inner.display().to_string(),
        _ => path.file_name().unwrap_or(path.as_os_str()).display().to_string(),
    }
}

/// A copy of a database with its journals, so that looking at it changes nothing.
pub(crate) struct Database {
    pub(crate) connection: Connection,
    _room: TempDir,
}

/// A table and the names of its columns.
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

impl Database {
    /// Opens a copy of the file at `path`; `None` when it is no SQLite database.
    pub(crate) fn open(path: &Path, content: &[u8]) -> Result<Option<Self>> {
        if !content.starts_with(MAGIC) {
            return Ok(None);
        }
        let open = || -> Result<Self> {
            let room = tempfile::tempdir()?;
            let name = path.file_name().context("a file without a name")?;
            let home = path.parent().context("a file without a directory")?;
            for entry in fs::read_dir(home)? {
                let entry = entry?;
                if belongs_to(&entry.file_name(), name) && entry.file_type()?.is_file() {
                    fs::copy(entry.path(), room.path().join(entry.file_name()))?;
                }
            }
            let connection = Connection::open(room.path().join(name))?;
            Ok(Self { connection, _room: room })
        };
        open().map(Some).with_context(|| format!("opening a copy of {}", path.display()))
    }

    /// All tables.
    pub(crate) fn tables(&self) -> Result<Vec<Table>> {
        let mut names = self.connection.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'
             ORDER BY name",
        )?;
        let names = names.query_map([], |row| row.get::<_, String>(0))?;
        names
            .map(|name| {
                let name = name?;
                let statement = self.connection.prepare(&select_all(&name))?;
                let columns = statement.column_names().into_iter().map(str::to_owned).collect();
                drop(statement);
                Ok(Table { name, columns })
            })
            .collect()
    }

    /// The rows that `query` gives; each value as [`readings`] of it.
    pub(crate) fn rows(&self, query: &str) -> Result<Vec<Vec<Vec<Vec<u8>>>>> {
        let mut statement = self.connection.prepare(query)?;
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..width).map(|index| Ok(readings(row.get_ref(index)?))).collect()
        })?;
        rows.map(|row| Ok(row?)).collect()
    }
}

/// The journals of `database` are called like it, plus a suffix.
fn belongs_to(name: &OsStr, database: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(database.as_encoded_bytes())
}

/// `SELECT` for all of a table.
pub(crate) fn select_all(table: &str) -> String {
    format!("SELECT * FROM {}", quoted(table))
}

/// A name as SQL takes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a value says: its bytes, and an address in dotted form where its length is an address's.
/// Four bytes mean something in a column of their own, and nothing in the middle of others.
fn readings(value: ValueRef<'_>) -> Vec<Vec<u8>> {
    match value {
        ValueRef::Null => Vec::new(),
        ValueRef::Integer(number) => vec![number.to_string().into_bytes()],
        ValueRef::Real(number) => vec![number.to_string().into_bytes()],
        ValueRef::Text(text) => vec![text.to_vec()],
        ValueRef::Blob(blob) => {
            let v4 = <[u8; 4]>::try_from(blob).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
            let v6 = <[u8; 16]>::try_from(blob).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
            let address = v4.or(v6).ok().map(|address| address.to_canonical());
            let dotted = address.filter(IpAddr::is_ipv4).map(|v4| v4.to_string().into_bytes());
            std::iter::once(blob.to_vec()).chain(dotted).collect()
        }
    }
}
