//! The database on a PostgreSQL server, which several gateways may share.
//!
//! What is decided (how many devices an address has, whether one was removed) hangs on several rows, some of which aren't there. So whoever decides does so
//! alone, behind one lock of the whole database: a gateway lets in few devices a second, and then each statement, at READ COMMITTED, sees what the last
//! who decided has committed.

use std::num::NonZero;

use coarse::Hour;
use jws::Compact;
use lease::ExitAddress;
use peer_key::{PeerKey, Thumbprint};
use store::postgres::{DatabaseUrl, Owner, Row, Server, Statements, Transaction};
use store::{Error, Migration};

use super::{Grant, GrantStore, Granted, Kept, Wish};

/// Whose database it is.
const OWNER: Owner = Owner { service: "gateway", side: "address" };

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "grants",
    sql: include_str!("../../migrations/postgres/0001_grants.sql"),
}];

/// The lock's name.
const DECIDING: [u8; 8] = *b"deciding";

/// A [`GrantStore`] in a database of a server.
#[derive(Clone)]
pub struct PostgresGrants(Server);

impl PostgresGrants {
    /// Connects to the database, and makes its tables when there are none.
    ///
    /// # Errors
    /// As [`Server::connect`].
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, Error> {
        Server::connect(url, OWNER, MIGRATIONS).await.map(Self)
    }

    /// The server, for what isn't the gateway's own work.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.0
    }
}

impl GrantStore for PostgresGrants {
    async fn keep(&self, grant: Grant, most: NonZero<u32>, now: Hour) -> Result<Kept, Error> {
        let keep = self.0.transaction("keep", |tx| {
            let grant = grant.clone();
            async move {
                tx.lock(DECIDING).await?;
                keep(&tx, grant, most, now).await
            }
        });
        keep.await
    }

    async fn all(&self) -> Result<Vec<Grant>, Error> {
        const SQL: &str = "SELECT device, address, ends_hour, dat FROM grants";
        self.0.read("all").all(SQL, &[], read).await
    }

    async fn beside(&self, device: PeerKey, now: Hour) -> Result<Option<Vec<Grant>>, Error> {
        const SQL: &str = "SELECT device, address, ends_hour, dat FROM grants
            WHERE ends_hour > $2
                AND address = (SELECT address FROM grants WHERE device = $1 AND ends_hour > $2)";
        let values = [device.bytes().into(), now.number().into()];
        let beside = self.0.read("beside").all(SQL, &values, read).await?;
        Ok(if beside.is_empty() { None } else { Some(beside) })
    }

    async fn remove(&self, wish: Wish, until: Hour) -> Result<Granted, Error> {
        let remove = self.0.transaction("remove", |tx| async move {
            tx.lock(DECIDING).await?;
            remove(&tx, wish, until).await
        });
        remove.await
    }

    async fn take_back(&self, wish: Wish) -> Result<Granted, Error> {
        let take_back = self.0.transaction("take back", |tx| async move {
            tx.lock(DECIDING).await?;
            take_back(&tx, wish).await
        });
        take_back.await
    }

    async fn forget(&self, grants: Vec<Grant>) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM grants WHERE device = $1 AND dat = $2";
        for grant in &grants {
            let values = [grant.device.bytes().into(), grant.dat.as_str().into()];
            self.0.write("forget").execute(SQL, &values).await?;
        }
        Ok(())
    }

    async fn forget_ended(&self, now: Hour) -> Result<(), Error> {
        const GRANTS: &str = "DELETE FROM grants WHERE ends_hour <= $1";
        const REMOVED: &str = "DELETE FROM removed WHERE until_hour <= $1";
        for sql in [GRANTS, REMOVED] {
            self.0.write("forget ended").execute(sql, &[now.number().into()]).await?;
        }
        Ok(())
    }
}

async fn keep(
    tx: &Transaction,
    grant: Grant,
    most: NonZero<u32>,
    now: Hour,
) -> Result<Kept, Error> {
    const REMOVED: &str = "SELECT device FROM removed WHERE device = $1 AND until_hour > $2";
    const OTHERS: &str = "SELECT count(*) FROM grants WHERE address = $1 AND ends_hour > $2";
    const FORMER: &str = "SELECT device, address, ends_hour, dat FROM grants
        WHERE device = $1 AND address = $2 AND ends_hour >= $3";
    // One that was taken back: the device has come, and its former address has no hold on it.
    const COME: &str = "DELETE FROM removed WHERE device = $1";
    const KEEP: &str =
        "INSERT INTO grants (device, address, ends_hour, dat) VALUES ($1, $2, $3, $4)
        ON CONFLICT (device) DO UPDATE
        SET address = excluded.address, ends_hour = excluded.ends_hour, dat = excluded.dat";
    let (device, bytes) = (grant.device.bytes().into(), grant.address.bytes());
    let (address, now_number) = (bytes.as_slice().into(), now.number().into());
    if tx.optional(REMOVED, &[device, now_number], |_| Ok(())).await?.is_some() {
        return Ok(Kept::Removed);
    }
    let is_there = address_of(tx, &grant.device, now).await? == Some(grant.address);
    let others = async || tx.row(OTHERS, &[address, now_number], |row| row.number::<u32>(0)).await;
    if !is_there && others().await? >= most.get() {
        return Ok(Kept::Full);
    }
    let ends = grant.ends.number().into();
    if let Some(former) = tx.optional(FORMER, &[device, address, ends], read).await? {
        return Ok(Kept::InForce(former));
    }
    tx.execute(COME, &[device]).await?;
    tx.execute(KEEP, &[device, address, ends, grant.dat.as_str().into()]).await?;
    Ok(Kept::InForce(grant))
}

async fn remove(tx: &Transaction, wish: Wish, until: Hour) -> Result<Granted, Error> {
    const FORGET: &str = "DELETE FROM grants WHERE device = $1";
    const REMOVE: &str = "INSERT INTO removed (device, address, until_hour) VALUES ($1, $2, $3)
        ON CONFLICT (device) DO UPDATE SET address = excluded.address, until_hour = excluded.until_hour";
    let Wish { by, device, now } = wish;
    let Some(address) = address_of(tx, &by, now).await? else { return Ok(Granted::NoPeer) };
    let granted = live(tx, address, now).await?.into_iter().map(|grant| grant.device);
    let device = match granted.into_iter().find(is(device)) {
        Some(device) => device,
        None => match removed(tx, address, device).await? {
            Some((device, until)) if until > now => {
                return Ok(Granted::Done { device, left: live(tx, address, now).await? });
            }
            // It was taken back, and hasn't come yet.
            Some((device, _)) => device,
            None => return Ok(Granted::Unknown),
        },
    };
    tx.execute(FORGET, &[device.bytes().into()]).await?;
    let bytes = address.bytes();
    let values = [device.bytes().into(), bytes.as_slice().into(), until.number().into()];
    tx.execute(REMOVE, &values).await?;
    Ok(Granted::Done { device, left: live(tx, address, now).await? })
}

async fn take_back(tx: &Transaction, wish: Wish) -> Result<Granted, Error> {
    const CHANGE: &str = "UPDATE removed SET until_hour = $2 WHERE device = $1 AND until_hour > $2";
    let Wish { by, device, now } = wish;
    let Some(address) = address_of(tx, &by, now).await? else { return Ok(Granted::NoPeer) };
    let left = live(tx, address, now).await?;
    if let Some(device) = left.iter().map(|grant| grant.device).find(is(device)) {
        return Ok(Granted::Done { device, left });
    }
    let Some((device, _)) = removed(tx, address, device).await? else {
        return Ok(Granted::Unknown);
    };
    // The row stays until it is tidied away, so that who asks again hears the same.
    tx.execute(CHANGE, &[device.bytes().into(), now.number().into()]).await?;
    Ok(Granted::Done { device, left })
}

/// Whether a key has this thumbprint.
fn is(thumbprint: Thumbprint) -> impl Fn(&PeerKey) -> bool {
    move |key| Thumbprint::from(key) == thumbprint
}

/// The address that a device has a live grant for.
async fn address_of(
    tx: &Statements,
    device: &PeerKey,
    now: Hour,
) -> Result<Option<ExitAddress>, Error> {
    const SQL: &str = "SELECT address FROM grants WHERE device = $1 AND ends_hour > $2";
    let values = [device.bytes().into(), now.number().into()];
    tx.optional(SQL, &values, |row| row.parsed(0, ExitAddress::from_bytes)).await
}

/// An address's live grants.
async fn live(tx: &Statements, address: ExitAddress, now: Hour) -> Result<Vec<Grant>, Error> {
    const SQL: &str = "SELECT device, address, ends_hour, dat FROM grants
        WHERE address = $1 AND ends_hour > $2";
    let bytes = address.bytes();
    tx.all(SQL, &[bytes.as_slice().into(), now.number().into()], read).await
}

/// Which of an address's removed devices has this thumbprint, and until when it is removed.
async fn removed(
    tx: &Statements,
    address: ExitAddress,
    device: Thumbprint,
) -> Result<Option<(PeerKey, Hour)>, Error> {
    const SQL: &str = "SELECT device, until_hour FROM removed WHERE address = $1";
    let bytes = address.bytes();
    let take = |row: &Row| Ok((key(row)?, Hour::new(row.number(1)?)));
    let all = tx.all(SQL, &[bytes.as_slice().into()], take).await?;
    Ok(all.into_iter().find(|(key, _)| is(device)(key)))
}

fn read(row: &Row) -> Result<Grant, Error> {
    Ok(Grant {
        device: key(row)?,
        address: row.parsed(1, ExitAddress::from_bytes)?,
        ends: Hour::new(row.number(2)?),
        dat: Compact::new(row.text(3)?.to_owned()),
    })
}

/// The device in a row's first column.
fn key(row: &Row) -> Result<PeerKey, Error> {
    let bytes = row.bytes(0)?;
    row.parsed(0, |_| PeerKey::from_bytes(bytes))
}
