//! The SQLite database.

use std::error::Error as StdError;
use std::path::Path;

use coarse::Hour;
use jws::Compact;
use lease::ExitAddress;
use peer_key::PeerKey;
use rusqlite::types::Type;
use store::{Database, Error, Migration, Row, Writer, params};

use super::{Grant, GrantStore};

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "grants",
    sql: include_str!("../../migrations/0001_grants.sql"),
}];

/// A [`GrantStore`] in one SQLite file.
#[derive(Clone)]
pub struct SqliteGrants(Database);

impl SqliteGrants {
    /// Opens the file, or makes it. Blocks while it works.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Database::open(path, MIGRATIONS).map(Self)
    }
}

impl GrantStore for SqliteGrants {
    async fn keep(&self, grant: Grant) -> Result<Grant, Error> {
        self.0.write("keep", move |tx| keep(tx, grant)).await
    }

    async fn all(&self) -> Result<Vec<Grant>, Error> {
        let sql = "SELECT device, address, ends_hour, dat FROM grants";
        self.0.read("all", move |tx| tx.all(sql, [], read)).await
    }

    async fn forget(&self, devices: Vec<PeerKey>) -> Result<(), Error> {
        let forget = move |tx: &Writer<'_>| {
            for device in &devices {
                tx.execute("DELETE FROM grants WHERE device = ?1", params![device.bytes()])?;
            }
            Ok(())
        };
        self.0.write("forget", forget).await
    }

    async fn forget_ended(&self, now: Hour) -> Result<(), Error> {
        let forget = move |tx: &Writer<'_>| {
            tx.execute("DELETE FROM grants WHERE ends_hour <= ?1", params![now.number()])?;
            Ok(())
        };
        self.0.write("forget ended", forget).await
    }
}

fn keep(tx: &Writer<'_>, grant: Grant) -> Result<Grant, Error> {
    let former = tx.optional(
        "SELECT device, address, ends_hour, dat FROM grants
         WHERE device = ?1 AND address = ?2 AND ends_hour >= ?3",
        params![grant.device.bytes(), grant.address.bytes(), grant.ends.number()],
        read,
    )?;
    if let Some(former) = former {
        return Ok(former);
    }
    tx.execute(
        "INSERT INTO grants (device, dat, address, ends_hour) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (device) DO UPDATE SET dat = ?2, address = ?3, ends_hour = ?4",
        params![
            grant.device.bytes(),
            grant.dat.as_str(),
            grant.address.bytes(),
            grant.ends.number()
        ],
    )?;
    Ok(grant)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Grant> {
    Ok(Grant {
        device: parsed(0, PeerKey::from_bytes(row.get(0)?))?,
        address: parsed(1, ExitAddress::from_bytes(row.get_ref(1)?.as_blob()?))?,
        ends: Hour::new(row.get(2)?),
        dat: Compact::new(row.get(3)?),
    })
}

/// A value that this program wrote and can't read back is the database's fault.
fn parsed<T, E>(column: usize, value: Result<T, E>) -> rusqlite::Result<T>
where
    E: StdError + Send + Sync + 'static,
{
    value.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
    })
}
