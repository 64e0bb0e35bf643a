//! The SQLite database.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use coarse::{Epoch, Week, system_rng};
use dip_api::GatewayInfo;
use encoding::Base64Url;
use epoch_keys::{Proof, PublishedKey, Purpose};
use lease::{ExitAddress, LeaseId, Region, TunnelEnd};
use peer_key::PeerKey;
use privacy_pass::SpendHash;
use rand_core::CryptoRng;
use rusqlite::types::Type;
use store::{Database, Error, Migration, Reader, Row, Writer, params};

use super::{
    DipStore, GatewayName, Held, ImportError, Imported, QUARANTINE_WEEKS, RegionStatus,
    Reservation, Standing, Wish,
};

const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, name: "pool", sql: include_str!("../../migrations/0001_pool.sql") }];

/// How many rows one part of [`DipStore::tidy`] changes, so that requests needn't wait for long.
const TIDY_PART: usize = 64;

/// A [`DipStore`] in one SQLite file.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
    free: Free,
}

impl SqliteStore {
    /// Opens the file, or makes it. Blocks while it works.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { database: Database::open(path, MIGRATIONS)?, free: Free::default() })
    }
}

impl DipStore for SqliteStore {
    async fn reserve(&self, wish: Wish) -> Result<Reservation, Error> {
        let free = self.free.clone();
        let reserve = move |tx: &Writer<'_>| reserve(tx, &wish, &free, &mut system_rng());
        self.database.write("reserve", reserve).await
    }

    async fn commit(&self, token: SpendHash, lease: LeaseId, ends: Week) -> Result<bool, Error> {
        let commit = move |tx: &Writer<'_>| {
            let changed = tx.execute(
                "UPDATE leases SET state = 'leased', until_week = max(until_week, ?3)
                 WHERE lease = ?2
                   AND EXISTS (SELECT 1 FROM spent WHERE token_hash = ?1 AND lease = ?2)",
                params![token.as_bytes(), lease.bytes(), ends.number()],
            )?;
            Ok(changed == 1)
        };
        self.database.write("commit", commit).await
    }

    async fn standing(&self, lease: LeaseId, now: Week) -> Result<Standing, Error> {
        let look = move |tx: &Reader<'_>| {
            let until = tx.optional(
                "SELECT until_week FROM leases WHERE lease = ?1 AND state = 'leased'",
                params![lease.bytes()],
                |row| row.get::<_, u32>(0),
            )?;
            Ok(match until {
                None => Standing::Unknown,
                Some(until) if until <= now.number() => Standing::Ended,
                Some(_) => held(tx, lease)?.map_or(Standing::Unknown, Standing::Leased),
            })
        };
        self.database.read("standing", look).await
    }

    async fn extend(&self, lease: LeaseId, ends: Week) -> Result<bool, Error> {
        let extend = move |tx: &Writer<'_>| {
            let changed = tx.execute(
                "UPDATE leases SET until_week = max(until_week, ?2)
                 WHERE lease = ?1 AND state = 'leased'",
                params![lease.bytes(), ends.number()],
            )?;
            Ok(changed == 1)
        };
        self.database.write("extend", extend).await
    }

    async fn set_frozen(&self, address: ExitAddress, frozen: bool) -> Result<bool, Error> {
        let freeze = move |tx: &Writer<'_>| {
            let lease = tx.optional(
                "UPDATE leases SET frozen = ?2 WHERE address = ?1 AND state = 'leased'
                 RETURNING lease",
                params![address.bytes(), frozen],
                lease_id,
            )?;
            Ok(lease.is_some())
        };
        self.database.write("freeze", freeze).await
    }

    async fn tidy(&self, now: Week) -> Result<bool, Error> {
        let free = self.free.clone();
        let tidy = move |tx: &Writer<'_>| {
            let more = tidy(tx, now)?;
            free.count_anew();
            Ok(more)
        };
        self.database.write("tidy", tidy).await
    }

    async fn regions(&self) -> Result<Vec<Region>, Error> {
        // From each region straight to the next: a plain DISTINCT looks at every address.
        let sql = "WITH RECURSIVE regions (region) AS (
                SELECT min(region) FROM addresses
                UNION ALL
                SELECT (SELECT min(region) FROM addresses WHERE region > regions.region)
                FROM regions WHERE region IS NOT NULL
            )
            SELECT region FROM regions WHERE EXISTS
                (SELECT 1 FROM addresses WHERE region = regions.region AND state = 'free')
            ORDER BY region";
        self.database.read("regions", move |tx| tx.all(sql, [], |row| text(row, 0))).await
    }

    async fn pool(&self) -> Result<Vec<RegionStatus>, Error> {
        let count = |tx: &Reader<'_>| {
            tx.all(
                "SELECT region,
                        count(*) FILTER (WHERE addresses.state = 'free'),
                        count(*) FILTER (WHERE leases.state = 'reserved'),
                        count(*) FILTER (WHERE leases.state = 'leased'),
                        count(*) FILTER (WHERE addresses.state = 'quarantined')
                 FROM addresses LEFT JOIN leases USING (address)
                 GROUP BY region ORDER BY region",
                [],
                |row| {
                    Ok(RegionStatus {
                        region: text(row, 0)?,
                        free: row.get(1)?,
                        reserved: row.get(2)?,
                        leased: row.get(3)?,
                        quarantined: row.get(4)?,
                    })
                },
            )
        };
        self.database.read("pool", count).await
    }

    async fn import(
        &self,
        addresses: Vec<ExitAddress>,
        region: Region,
        gateway: GatewayName,
    ) -> Result<Imported, ImportError> {
        let free = self.free.clone();
        let import = move |tx: &Writer<'_>| {
            let imported = import(tx, &addresses, &region, &gateway)?;
            free.count_anew();
            Ok(imported)
        };
        self.database.write("import", import).await
    }

    async fn set_gateway(&self, name: GatewayName, gateway: GatewayInfo) -> Result<(), Error> {
        let set = move |tx: &Writer<'_>| {
            let GatewayInfo { url, tunnel } = &gateway;
            tx.execute(
                "INSERT INTO gateways (name, url, public_key, endpoint, inner_address, resolver)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (name) DO UPDATE SET url = ?2, public_key = ?3, endpoint = ?4,
                    inner_address = ?5, resolver = ?6",
                params![
                    name.as_str(),
                    url,
                    tunnel.public_key.bytes(),
                    tunnel.endpoint.to_string(),
                    tunnel.inner_address.to_string(),
                    tunnel.resolver.to_string()
                ],
            )?;
            Ok(())
        };
        self.database.write("set gateway", set).await
    }

    async fn keep_token_keys(&self, keys: Vec<PublishedKey>) -> Result<(), Error> {
        let keep = move |tx: &Writer<'_>| {
            for key in &keys {
                tx.execute(
                    "INSERT INTO token_keys (epoch, public_key, proof) VALUES (?1, ?2, ?3)
                     ON CONFLICT (epoch) DO UPDATE SET public_key = ?2, proof = ?3",
                    params![key.epoch.number(), key.public_key.0, key.proof.to_bytes()],
                )?;
            }
            Ok(())
        };
        self.database.write("keep token keys", keep).await
    }

    async fn token_keys(&self) -> Result<Vec<PublishedKey>, Error> {
        let sql = "SELECT epoch, public_key, proof FROM token_keys ORDER BY epoch";
        let load = move |tx: &Reader<'_>| {
            tx.all(sql, [], |row| {
                let proof = row.get_ref(2)?.as_blob()?;
                Ok(PublishedKey {
                    purpose: Purpose::DedicatedIp,
                    epoch: Epoch::new(row.get(0)?),
                    public_key: Base64Url(row.get(1)?),
                    proof: parsed(2, Proof::from_bytes(proof))?,
                })
            })
        };
        self.database.read("token keys", load).await
    }
}

fn reserve(
    tx: &Writer<'_>,
    wish: &Wish,
    free: &Free,
    rng: &mut impl CryptoRng,
) -> Result<Reservation, Error> {
    let known = tx.optional(
        "SELECT lease FROM spent WHERE token_hash = ?1",
        params![wish.token.as_bytes()],
        lease_id,
    )?;
    if let Some(lease) = known {
        return Ok(held(tx, lease)?.map_or(Reservation::Ended, Reservation::Held));
    }
    let Some(address) = free.draw(tx, &wish.region, rng)? else {
        let sql = "SELECT EXISTS (SELECT 1 FROM addresses WHERE region = ?1)";
        let known = tx.row(sql, params![wish.region.as_str()], |row| row.get(0))?;
        return Ok(if known { Reservation::Exhausted } else { Reservation::UnknownRegion });
    };
    set_state(tx, &address.bytes(), "held", 0)?;
    tx.execute(
        "INSERT INTO leases (lease, address, state, until_week, frozen)
         VALUES (?1, ?2, 'reserved', ?3, 0)",
        params![wish.lease.bytes(), address.bytes(), wish.until.number()],
    )?;
    tx.execute(
        "INSERT INTO spent (token_hash, lease, until_week) VALUES (?1, ?2, ?3)",
        params![wish.token.as_bytes(), wish.lease.bytes(), wish.until.number()],
    )?;
    Ok(held(tx, wish.lease)?.map_or(Reservation::Ended, Reservation::Held))
}

/// The free addresses of each region as they were when they were last counted, less those that were drawn since.
/// The database has the last word. In memory only: an address is drawn without looking at all others.
#[derive(Clone, Default)]
struct Free(Arc<Mutex<HashMap<Region, Vec<ExitAddress>>>>);

impl Free {
    /// One of the region's free addresses, each as likely as the others; `None` when there is none.
    fn draw(
        &self,
        tx: &Reader<'_>,
        region: &Region,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<ExitAddress>, Error> {
        const FREE: &str = "SELECT 1 FROM addresses WHERE address = ?1 AND state = 'free'";
        const ALL: &str = "SELECT address FROM addresses WHERE region = ?1 AND state = 'free'";
        let mut regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = regions.remove(region).unwrap_or_default();
        for counted in [false, true] {
            if counted {
                left = tx.all(ALL, params![region.as_str()], |row| {
                    parsed(0, ExitAddress::from_bytes(row.get_ref(0)?.as_blob()?))
                })?;
            }
            while let Ok(end @ 1..) = u32::try_from(left.len()) {
                let address = left.swap_remove(below(end, rng) as usize);
                if tx.optional(FREE, params![address.bytes()], |_| Ok(()))?.is_some() {
                    regions.insert(region.clone(), left);
                    return Ok(Some(address));
                }
            }
        }
        Ok(None)
    }

    /// Others may be free now.
    fn count_anew(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A number below `end`, each as likely as the others (to within 2^-32).
fn below(end: u32, rng: &mut impl CryptoRng) -> u32 {
    ((u128::from(rng.next_u64()) * u128::from(end)) >> 64) as u32
}

fn tidy(tx: &Writer<'_>, now: Week) -> Result<bool, Error> {
    let mut changed = 0;
    let out_of_quarantine = tx.all(
        "SELECT address FROM addresses WHERE state = 'quarantined' AND until_week <= ?1 LIMIT ?2",
        params![now.number(), TIDY_PART],
        |row| row.get::<_, Vec<u8>>(0),
    )?;
    for address in &out_of_quarantine {
        set_state(tx, address, "free", 0)?;
        changed += 1;
    }
    let ended = tx.all(
        "SELECT lease, address, state = 'leased' FROM leases WHERE until_week <= ?1 LIMIT ?2",
        params![now.number(), TIDY_PART],
        |row| Ok((lease_id(row)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, bool>(2)?)),
    )?;
    for (lease, address, was_leased) in &ended {
        tx.execute("DELETE FROM leases WHERE lease = ?1", params![lease.bytes()])?;
        if *was_leased {
            let until = now.number().saturating_add(QUARANTINE_WEEKS);
            set_state(tx, address, "quarantined", until)?;
        } else {
            set_state(tx, address, "free", 0)?;
        }
        changed += 1;
    }
    tx.execute("DELETE FROM spent WHERE until_week <= ?1", params![now.number()])?;
    Ok(changed > 0)
}

fn set_state(tx: &Writer<'_>, address: &[u8], state: &str, until_week: u32) -> Result<(), Error> {
    tx.execute(
        "UPDATE addresses SET state = ?2, until_week = ?3 WHERE address = ?1",
        params![address, state, until_week],
    )?;
    Ok(())
}

fn import(
    tx: &Writer<'_>,
    addresses: &[ExitAddress],
    region: &Region,
    gateway: &GatewayName,
) -> Result<Imported, ImportError> {
    let known_gateway =
        tx.optional("SELECT 1 FROM gateways WHERE name = ?1", [gateway.as_str()], |_| Ok(()))?;
    known_gateway.ok_or(ImportError::UnknownGateway)?;
    let mut imported = Imported { new: 0, known: 0 };
    for address in addresses {
        let found = tx.optional(
            "SELECT region = ?2 AND gateway = ?3 FROM addresses WHERE address = ?1",
            params![address.bytes(), region.as_str(), gateway.as_str()],
            |row| row.get::<_, bool>(0),
        )?;
        match found {
            Some(true) => imported.known += 1,
            Some(false) => return Err(ImportError::Elsewhere(*address)),
            None => {
                tx.execute(
                    "INSERT INTO addresses (address, region, gateway, state, until_week)
                     VALUES (?1, ?2, ?3, 'free', 0)",
                    params![address.bytes(), region.as_str(), gateway.as_str()],
                )?;
                imported.new += 1;
            }
        }
    }
    Ok(imported)
}

/// What a lease holds, whether reserved or leased.
fn held(tx: &Reader<'_>, lease: LeaseId) -> Result<Option<Held>, Error> {
    tx.optional(
        "SELECT lease, frozen, address, region, url, public_key, endpoint, inner_address, resolver
         FROM leases
         JOIN addresses USING (address)
         JOIN gateways ON gateways.name = addresses.gateway
         WHERE lease = ?1",
        params![lease.bytes()],
        |row| {
            Ok(Held {
                lease: lease_id(row)?,
                frozen: row.get(1)?,
                address: parsed(2, ExitAddress::from_bytes(row.get_ref(2)?.as_blob()?))?,
                region: text(row, 3)?,
                gateway: GatewayInfo {
                    url: row.get(4)?,
                    tunnel: TunnelEnd {
                        public_key: parsed(5, PeerKey::from_bytes(row.get(5)?))?,
                        endpoint: text(row, 6)?,
                        inner_address: text(row, 7)?,
                        resolver: text(row, 8)?,
                    },
                },
            })
        },
    )
}

/// The lease's id in a row's first column.
fn lease_id(row: &Row<'_>) -> rusqlite::Result<LeaseId> {
    row.get(0).map(LeaseId::from_bytes)
}

/// A text column as what it stands for.
fn text<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: StdError + Send + Sync + 'static>,
{
    parsed(column, row.get_ref(column)?.as_str()?.parse())
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
