//! The SQLite database.

use std::error::Error as StdError;
use std::num::NonZero;
use std::path::Path;

use coarse::Hour;
use jws::Compact;
use lease::ExitAddress;
use peer_key::{PeerKey, Thumbprint};
use rusqlite::types::Type;
use store::{Database, Error, Migration, Reader, Row, Writer, params};

use super::{Grant, GrantStore, Granted, Kept, Wish};

const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "grants", sql: include_str!("../../migrations/0001_grants.sql") },
    Migration {
        number: 2,
        name: "removed",
        sql: include_str!("../../migrations/0002_removed.sql"),
    },
];

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
    async fn keep(&self, grant: Grant, most: NonZero<u32>, now: Hour) -> Result<Kept, Error> {
        self.0.write("keep", move |tx| keep(tx, grant, most, now)).await
    }

    async fn all(&self) -> Result<Vec<Grant>, Error> {
        let sql = "SELECT device, address, ends_hour, dat FROM grants";
        self.0.read("all", move |tx| tx.all(sql, [], read)).await
    }

    async fn beside(&self, device: PeerKey, now: Hour) -> Result<Option<Vec<Grant>>, Error> {
        let beside = move |tx: &Reader<'_>| {
            address_of(tx, &device, now)?.map(|address| live(tx, &address, now)).transpose()
        };
        self.0.read("beside", beside).await
    }

    async fn remove(&self, wish: Wish, until: Hour) -> Result<Granted, Error> {
        self.0.write("remove", move |tx| remove(tx, wish, until)).await
    }

    async fn take_back(&self, wish: Wish) -> Result<Granted, Error> {
        self.0.write("take back", move |tx| take_back(tx, wish)).await
    }

    async fn forget(&self, grants: Vec<Grant>) -> Result<(), Error> {
        let forget = move |tx: &Writer<'_>| {
            for grant in &grants {
                let sql = "DELETE FROM grants WHERE device = ?1 AND dat = ?2";
                tx.execute(sql, params![grant.device.bytes(), grant.dat.as_str()])?;
            }
            Ok(())
        };
        self.0.write("forget", forget).await
    }

    async fn forget_ended(&self, now: Hour) -> Result<(), Error> {
        let forget = move |tx: &Writer<'_>| {
            tx.execute("DELETE FROM grants WHERE ends_hour <= ?1", params![now.number()])?;
            tx.execute("DELETE FROM removed WHERE until_hour <= ?1", params![now.number()])?;
            Ok(())
        };
        self.0.write("forget ended", forget).await
    }
}

fn keep(tx: &Writer<'_>, grant: Grant, most: NonZero<u32>, now: Hour) -> Result<Kept, Error> {
    let removed = "SELECT 1 FROM removed WHERE device = ?1 AND until_hour > ?2";
    let of_device = params![grant.device.bytes(), now.number()];
    if tx.optional(removed, of_device, |_| Ok(()))?.is_some() {
        return Ok(Kept::Removed);
    }
    let others = "SELECT count(*) FROM grants WHERE address = ?1 AND ends_hour > ?2";
    let of_address = params![grant.address.bytes(), now.number()];
    let is_there = address_of(tx, &grant.device, now)? == Some(grant.address);
    if !is_there && tx.row(others, of_address, |row| row.get::<_, u32>(0))? >= most.get() {
        return Ok(Kept::Full);
    }
    let former = tx.optional(
        "SELECT device, address, ends_hour, dat FROM grants
         WHERE device = ?1 AND address = ?2 AND ends_hour >= ?3",
        params![grant.device.bytes(), grant.address.bytes(), grant.ends.number()],
        read,
    )?;
    if let Some(former) = former {
        return Ok(Kept::InForce(former));
    }
    // One that was taken back: the device has come, and its former address has no hold on it.
    tx.execute("DELETE FROM removed WHERE device = ?1", params![grant.device.bytes()])?;
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
    Ok(Kept::InForce(grant))
}

fn remove(tx: &Writer<'_>, wish: Wish, until: Hour) -> Result<Granted, Error> {
    let Wish { by, device, now } = wish;
    let Some(address) = address_of(tx, &by, now)? else { return Ok(Granted::NoPeer) };
    let granted = live(tx, &address, now)?.into_iter().map(|grant| grant.device).find(is(device));
    let before = || removed(tx, &address).map(|mut all| all.find(|(key, _)| is(device)(key)));
    let device = match granted {
        Some(device) => device,
        None => match before()? {
            Some((device, until)) if until > now => {
                return Ok(Granted::Done { device, left: live(tx, &address, now)? });
            }
            // It was taken back, and hasn't come yet.
            Some((device, _)) => device,
            None => return Ok(Granted::Unknown),
        },
    };
    tx.execute("DELETE FROM grants WHERE device = ?1", params![device.bytes()])?;
    tx.execute(
        "INSERT INTO removed (device, address, until_hour) VALUES (?1, ?2, ?3)
         ON CONFLICT (device) DO UPDATE SET address = ?2, until_hour = ?3",
        params![device.bytes(), address.bytes(), until.number()],
    )?;
    Ok(Granted::Done { device, left: live(tx, &address, now)? })
}

fn take_back(tx: &Writer<'_>, wish: Wish) -> Result<Granted, Error> {
    let Wish { by, device, now } = wish;
    let Some(address) = address_of(tx, &by, now)? else { return Ok(Granted::NoPeer) };
    let left = live(tx, &address, now)?;
    if let Some(device) = left.iter().map(|grant| grant.device).find(is(device)) {
        return Ok(Granted::Done { device, left });
    }
    match removed(tx, &address)?.find(|(key, _)| is(device)(key)) {
        None => Ok(Granted::Unknown),
        Some((device, until)) => {
            // The row stays until it is tidied away, so that who asks again hears the same.
            if until > now {
                let change = "UPDATE removed SET until_hour = ?2 WHERE device = ?1";
                tx.execute(change, params![device.bytes(), now.number()])?;
            }
            Ok(Granted::Done { device, left })
        }
    }
}

/// Whether a key has this thumbprint.
fn is(thumbprint: Thumbprint) -> impl Fn(&PeerKey) -> bool {
    move |key| Thumbprint::from(key) == thumbprint
}

/// The address that a device has a live grant for.
fn address_of(tx: &Reader<'_>, device: &PeerKey, now: Hour) -> Result<Option<ExitAddress>, Error> {
    tx.optional(
        "SELECT address FROM grants WHERE device = ?1 AND ends_hour > ?2",
        params![device.bytes(), now.number()],
        |row| parsed(0, ExitAddress::from_bytes(row.get_ref(0)?.as_blob()?)),
    )
}

/// An address's live grants.
fn live(tx: &Reader<'_>, address: &ExitAddress, now: Hour) -> Result<Vec<Grant>, Error> {
    tx.all(
        "SELECT device, address, ends_hour, dat FROM grants WHERE address = ?1 AND ends_hour > ?2",
        params![address.bytes(), now.number()],
        read,
    )
}

/// An address's removed devices, and until when.
fn removed(
    tx: &Reader<'_>,
    address: &ExitAddress,
) -> Result<impl Iterator<Item = (PeerKey, Hour)>, Error> {
    let sql = "SELECT device, until_hour FROM removed WHERE address = ?1";
    let all = tx.all(sql, params![address.bytes()], |row| {
        Ok((parsed(0, PeerKey::from_bytes(row.get(0)?))?, Hour::new(row.get(1)?)))
    })?;
    Ok(all.into_iter())
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
