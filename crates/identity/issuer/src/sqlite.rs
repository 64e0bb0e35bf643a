//! [`IssuerStore`] on SQLite.

use std::path::Path;

use coarse::{Epoch, UnixTime};
use epoch_keys::{CLOCK_SKEW, Purpose};
use receipt::{SubscriptionId, SubscriptionVersion};
use store::{Database, Migration, Reader, ToSql, Writer, params};

use crate::{ACCESS_SLOTS, Asked, BlindSignature, Draw, DrawError, IssuerStore, Limit, StoreError};

const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, name: "issuer", sql: include_str!("../migrations/0001_issuer.sql") }];

/// The issuer's database file.
#[derive(Clone)]
pub struct SqliteIssuer(Database);

impl SqliteIssuer {
    /// Opens or creates the file at `path`. Blocks while it works.
    pub fn open(path: &Path) -> Result<Self, store::Error> {
        Database::open(path, MIGRATIONS).map(Self)
    }

    /// How many subscriptions and answers there are.
    #[cfg(test)]
    pub(crate) async fn rows(&self) -> Result<(u32, u32), store::Error> {
        let sql = "SELECT (SELECT count(*) FROM subscriptions), (SELECT count(*) FROM answers)";
        let count = |tx: &Reader<'_>| tx.row(sql, params![], |row| Ok((row.get(0)?, row.get(1)?)));
        self.0.read("count rows", count).await
    }
}

impl IssuerStore for SqliteIssuer {
    async fn look(&self, draw: Draw) -> Result<Option<BlindSignature>, DrawError> {
        let looked = self.0.read("look at a draw", move |tx| look(tx, &draw)).await?;
        self.settle(draw, looked).await
    }

    async fn look_among(
        &self,
        asked: Asked,
        is_meant: impl Fn(Purpose, Epoch) -> bool + Send + 'static,
    ) -> Result<Option<(Draw, Option<BlindSignature>)>, DrawError> {
        let looked = self.0.read("look at a draw", move |tx| {
            let sql = "SELECT purpose, epoch FROM answers
                 WHERE subscription = ?1 AND version = ?2 AND blinded_hash = ?3";
            let key =
                params![asked.subscription.bytes(), asked.version.number(), asked.blinded.bytes()];
            let answered = keys(tx, sql, key)?;
            let meant = answered.into_iter().find(|(purpose, epoch)| is_meant(*purpose, *epoch));
            let Some((purpose, epoch)) = meant.or(asked.now) else { return Ok(None) };
            let draw = asked.under(purpose, epoch);
            Ok::<_, store::Error>(Some((draw, look(tx, &draw)?)))
        });
        let Some((draw, looked)) = looked.await? else { return Ok(None) };
        Ok(Some((draw, self.settle(draw, looked).await?)))
    }

    async fn record(
        &self,
        draw: Draw,
        signature: BlindSignature,
    ) -> Result<BlindSignature, DrawError> {
        self.0
            .write("record a draw", move |tx| {
                if let Some(recorded) = decide(tx, &draw)?? {
                    return Ok(recorded);
                }
                remember(tx, &draw, draw.purpose == Purpose::DedicatedIp)?;
                insert(tx, &draw, &signature)?;
                Ok(signature)
            })
            .await
    }

    async fn forget_ended(&self, now: UnixTime) -> Result<(), StoreError> {
        self.0
            .write("forget ended answers", move |tx| {
                for (purpose, epoch) in
                    keys(tx, "SELECT DISTINCT purpose, epoch FROM answers", params![])?
                {
                    if now >= purpose.spend_deadline(epoch).plus(CLOCK_SKEW) {
                        let sql = "DELETE FROM answers WHERE purpose = ?1 AND epoch = ?2";
                        tx.execute(sql, params![purpose.as_str(), epoch.number()])?;
                    }
                }
                Ok(())
            })
            .await
    }
}

impl SqliteIssuer {
    /// Remembers a version that was not seen before.
    async fn settle(
        &self,
        draw: Draw,
        looked: Looked,
    ) -> Result<Option<BlindSignature>, DrawError> {
        if looked.newer {
            self.0.write("remember a version", move |tx| remember(tx, &draw, false)).await?;
        }
        Ok(looked.decision?)
    }
}

/// What the database says of a draw.
struct Looked {
    /// The draw's version is higher than any seen before.
    newer: bool,
    decision: Result<Option<BlindSignature>, Limit>,
}

fn look(tx: &Reader<'_>, draw: &Draw) -> Result<Looked, store::Error> {
    let newer = Remembered::of(tx, draw.subscription)?.version < draw.version;
    Ok(Looked { newer, decision: decide(tx, draw)? })
}

/// A draw as the primary key of its answer.
macro_rules! key_of {
    ($draw:expr) => {
        params![
            $draw.subscription.bytes(),
            $draw.version.number(),
            $draw.blinded.bytes(),
            $draw.purpose.as_str(),
            $draw.epoch.number(),
        ]
    };
}

/// What is remembered of a subscription.
struct Remembered {
    version: SubscriptionVersion,
    dedicated_ip_drawn: bool,
}

impl Remembered {
    /// A subscription never heard of is in its first version, and drew nothing.
    fn of(tx: &Reader<'_>, subscription: SubscriptionId) -> Result<Self, store::Error> {
        let sql = "SELECT version, dedicated_ip_drawn FROM subscriptions WHERE id = ?1";
        let found = tx.optional(sql, params![subscription.bytes()], |row| {
            let version = SubscriptionVersion::new(row.get(0)?);
            Ok(Self { version, dedicated_ip_drawn: row.get(1)? })
        })?;
        let nothing = Self { version: SubscriptionVersion::default(), dedicated_ip_drawn: false };
        Ok(found.unwrap_or(nothing))
    }
}

/// The answer that was given already, nothing when the draw may go on, or what forbids it.
fn decide(
    tx: &Reader<'_>,
    draw: &Draw,
) -> Result<Result<Option<BlindSignature>, Limit>, store::Error> {
    let remembered = Remembered::of(tx, draw.subscription)?;
    if draw.version < remembered.version {
        return Ok(Err(Limit::OldVersion));
    }
    let sql = "SELECT blind_signature FROM answers WHERE subscription = ?1 AND version = ?2
        AND blinded_hash = ?3 AND purpose = ?4 AND epoch = ?5";
    let answer = tx.optional(sql, key_of!(draw), |row| Ok(BlindSignature(row.get(0)?)))?;
    if answer.is_some() {
        return Ok(Ok(answer));
    }
    let reached = match draw.purpose {
        Purpose::DedicatedIp => draw.version == remembered.version && remembered.dedicated_ip_drawn,
        Purpose::Access => drawn_in_epoch(tx, draw)? >= ACCESS_SLOTS,
        // Not sold: there is no slot.
        Purpose::Renewal | Purpose::RelayTicket => true,
    };
    Ok(if reached { Err(Limit::Reached) } else { Ok(None) })
}

/// Answers are kept at least as long as their key signs, so that counting them counts draws.
fn drawn_in_epoch(tx: &Reader<'_>, draw: &Draw) -> Result<u32, store::Error> {
    let sql =
        "SELECT count(*) FROM answers WHERE subscription = ?1 AND purpose = ?2 AND epoch = ?3";
    let key = params![draw.subscription.bytes(), draw.purpose.as_str(), draw.epoch.number()];
    tx.row(sql, key, |row| row.get(0))
}

/// Remembers the version of a draw that [`decide`] let pass, and that its dedicated address was drawn, if so.
fn remember(tx: &Writer<'_>, draw: &Draw, dedicated_ip: bool) -> Result<(), store::Error> {
    let before = Remembered::of(tx, draw.subscription)?;
    if before.version > draw.version || (before.version == draw.version && !dedicated_ip) {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO subscriptions (id, version, dedicated_ip_drawn) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET version = ?2, dedicated_ip_drawn = ?3",
        params![draw.subscription.bytes(), draw.version.number(), dedicated_ip],
    )?;
    Ok(())
}

fn insert(tx: &Writer<'_>, draw: &Draw, signature: &BlindSignature) -> Result<(), store::Error> {
    let BlindSignature(signature) = signature;
    tx.execute(
        "INSERT INTO answers (subscription, version, blinded_hash, purpose, epoch, blind_signature)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            draw.subscription.bytes(),
            draw.version.number(),
            draw.blinded.bytes(),
            draw.purpose.as_str(),
            draw.epoch.number(),
            signature,
        ],
    )?;
    Ok(())
}

/// The purposes and epochs that `sql` yields.
fn keys(
    tx: &Reader<'_>,
    sql: &str,
    key: &[&dyn ToSql],
) -> Result<Vec<(Purpose, Epoch)>, store::Error> {
    let rows = tx.all(sql, key, |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    // The table holds no other names: see its CHECK.
    let known =
        |(name, epoch): (String, u32)| Some((Purpose::parse(&name).ok()?, Epoch::new(epoch)));
    Ok(rows.into_iter().filter_map(known).collect())
}
