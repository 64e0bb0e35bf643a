//! [`IssuerStore`] on PostgreSQL, for several instances of the service.
//!
//! Whether a draw may be recorded depends on rows that aren't there (for `access` nothing is kept of the subscription itself), so that no row can be
//! locked for it: everything that writes for a subscription first locks its id, by name, and then looks and writes in one statement, which sees what the last
//! holder of the lock committed. At READ COMMITTED that is enough; SERIALIZABLE would refuse draws of other subscriptions whose rows share a page of the index.

use coarse::{Epoch, UnixTime};
use epoch_keys::{CLOCK_SKEW, Purpose};
use receipt::{SubscriptionId, SubscriptionVersion};
use store::Migration;
use store::postgres::{DatabaseUrl, Owner, Row, Server, Value};

use crate::{ACCESS_SLOTS, Asked, BlindSignature, Draw, DrawError, IssuerStore, Limit, StoreError};

/// Whose database it is.
const OWNER: Owner = Owner { service: "issuer", side: "identity" };

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "issuer",
    sql: include_str!("../migrations/postgres/0001_issuer.sql"),
}];

/// What is known of the subscription of a draw (one never heard of is in its first version, and drew nothing), the answer that was given already, and what
/// follows. The draw is `$1` to `$5`: subscription, version, hash of the blinded message, purpose, epoch; `$6` is how many slots there are for
/// `access`. Answers are kept at least as long as their key signs, so that counting them counts draws.
macro_rules! verdict {
    () => {
        "known AS (
            SELECT coalesce(max(version), 0) AS version, coalesce(bool_or(redeemed), false) AS redeemed
            FROM subscriptions WHERE subscription_id = $1
        ), answered AS (
            SELECT blind_signature FROM answers
            WHERE subscription_id = $1 AND version = $2 AND blinded_hash = $3 AND purpose = $4 AND epoch = $5
        ), verdict AS (
            SELECT CASE
                WHEN $2 < known.version THEN 'old'
                WHEN EXISTS (SELECT FROM answered) THEN 'answered'
                WHEN $4 = 'dedicated-ip' THEN
                    CASE WHEN $2 = known.version AND known.redeemed THEN 'reached' ELSE 'free' END
                WHEN $4 = 'access' THEN
                    CASE WHEN (SELECT count(*) FROM answers
                        WHERE subscription_id = $1 AND purpose = 'access' AND epoch = $5) >= $6
                    THEN 'reached' ELSE 'free' END
                ELSE 'reached'
            END AS word FROM known
        )"
    };
}

/// Looks at a draw.
const LOOK: &str = concat!(
    "WITH ",
    verdict!(),
    " SELECT word, (SELECT blind_signature FROM answered), version < $2 FROM verdict, known"
);

/// Looks at a draw and records it, with the blind signature `$7`, if it is free.
const RECORD: &str = concat!(
    "WITH ",
    verdict!(),
    ", kept AS (
        INSERT INTO answers (subscription_id, version, blinded_hash, purpose, epoch, blind_signature)
        SELECT $1, $2, $3, $4, $5, $7 FROM verdict WHERE word = 'free'
        RETURNING blind_signature
    ), remembered AS (
        INSERT INTO subscriptions (subscription_id, version, redeemed)
        SELECT $1, $2, $4 = 'dedicated-ip' FROM verdict, known
        WHERE word = 'free' AND (known.version < $2 OR $4 = 'dedicated-ip')
        ON CONFLICT (subscription_id) DO UPDATE SET version = excluded.version, redeemed = excluded.redeemed
    )
    SELECT word, coalesce((SELECT blind_signature FROM answered), (SELECT blind_signature FROM kept))
    FROM verdict"
);

/// Remembers a version that is higher than any before.
const REMEMBER: &str =
    "INSERT INTO subscriptions (subscription_id, version, redeemed) VALUES ($1, $2, false)
    ON CONFLICT (subscription_id) DO UPDATE SET version = excluded.version, redeemed = false
    WHERE subscriptions.version < excluded.version";

/// The issuer's database on a server.
#[derive(Clone)]
pub struct PostgresIssuer(Server);

impl PostgresIssuer {
    /// Connects to the database, and makes its tables when there are none.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, store::Error> {
        Server::connect(url, OWNER, MIGRATIONS).await.map(Self)
    }

    /// The server, for what isn't the service's own work.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.0
    }

    /// How many subscriptions and answers there are.
    #[cfg(test)]
    pub(crate) async fn rows(&self) -> Result<(u32, u32), store::Error> {
        const SQL: &str =
            "SELECT (SELECT count(*) FROM subscriptions), (SELECT count(*) FROM answers)";
        let count = self.0.read("count rows");
        count.row(SQL, &[], |row| Ok((row.number(0)?, row.number(1)?))).await
    }
}

impl IssuerStore for PostgresIssuer {
    async fn look(&self, draw: Draw) -> Result<Option<BlindSignature>, DrawError> {
        let look = self.0.read("look at a draw");
        let take = |row: &Row| Ok((decision(row)?, row.flag(2)?));
        let (decision, newer) = look.row(LOOK, &values(&draw), take).await?;
        if newer {
            self.remember(draw.subscription, draw.version).await?;
        }
        Ok(decision?)
    }

    async fn record(
        &self,
        draw: Draw,
        signature: BlindSignature,
    ) -> Result<BlindSignature, DrawError> {
        let record = self.0.transaction("record a draw", |tx| async move {
            tx.lock(name(draw.subscription)).await?;
            let [subscription, version, blinded, purpose, epoch, slots] = values(&draw);
            let signature = (&signature.0).into();
            let values = [subscription, version, blinded, purpose, epoch, slots, signature];
            tx.row(RECORD, &values, decision).await
        });
        // Without an answer or a limit the draw was free, and is the answer that was kept.
        record.await?.map_err(DrawError::from)?.ok_or_else(|| store::Error::NoRow.into())
    }

    async fn look_among(
        &self,
        asked: Asked,
        is_meant: impl Fn(Purpose, Epoch) -> bool + Send + 'static,
    ) -> Result<Option<(Draw, Option<BlindSignature>)>, DrawError> {
        const SQL: &str = "SELECT purpose, epoch FROM answers
            WHERE subscription_id = $1 AND version = $2 AND blinded_hash = $3
            ORDER BY purpose, epoch";
        let key = [
            asked.subscription.bytes().into(),
            asked.version.number().into(),
            asked.blinded.bytes().into(),
        ];
        let take = |row: &Row| Ok((Purpose::parse(row.text(0)?).ok(), row.number(1)?));
        let answered = self.0.read("look among keys").all(SQL, &key, take).await?;
        // The table holds no other names: see its CHECK.
        let known = answered.into_iter().filter_map(|(purpose, epoch)| Some((purpose?, epoch)));
        let mut known = known.map(|(purpose, epoch)| (purpose, Epoch::new(epoch)));
        let meant = known.find(|(purpose, epoch)| is_meant(*purpose, *epoch));
        let Some((purpose, epoch)) = meant.or(asked.now) else { return Ok(None) };
        let draw = asked.under(purpose, epoch);
        Ok(Some((draw, self.look(draw).await?)))
    }

    async fn forget_ended(&self, now: UnixTime) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM answers WHERE purpose = $1 AND epoch <= $2";
        for purpose in Purpose::ALL {
            if let Some(last) = last_ended(purpose, now) {
                let forget = self.0.write("forget ended answers");
                forget.execute(SQL, &[purpose.as_str().into(), last.number().into()]).await?;
            }
        }
        Ok(())
    }
}

impl PostgresIssuer {
    async fn remember(
        &self,
        subscription: SubscriptionId,
        version: SubscriptionVersion,
    ) -> Result<(), store::Error> {
        let remember = self.0.transaction("remember a version", |tx| async move {
            tx.lock(name(subscription)).await?;
            let values = [subscription.bytes().into(), version.number().into()];
            tx.execute(REMEMBER, &values).await
        });
        remember.await.map(drop)
    }
}

/// The name by which a subscription is locked. Ids are random: their beginnings hardly ever meet.
fn name(subscription: SubscriptionId) -> [u8; 8] {
    let mut name = [0; 8];
    name.iter_mut().zip(subscription.bytes()).for_each(|(name, byte)| *name = *byte);
    name
}

fn values(draw: &Draw) -> [Value<'_>; 6] {
    [
        draw.subscription.bytes().into(),
        draw.version.number().into(),
        draw.blinded.bytes().into(),
        draw.purpose.as_str().into(),
        draw.epoch.number().into(),
        ACCESS_SLOTS.into(),
    ]
}

/// The verdict in a row's first column, with the answer in the second.
fn decision(row: &Row) -> Result<Result<Option<BlindSignature>, Limit>, store::Error> {
    Ok(match row.text(0)? {
        "old" => Err(Limit::OldVersion),
        "reached" => Err(Limit::Reached),
        _ => Ok(row.optional_bytes(1)?.map(BlindSignature)),
    })
}

/// The last epoch whose tokens can't be spent any more.
fn last_ended(purpose: Purpose, now: UnixTime) -> Option<Epoch> {
    let ended = |epoch: u32| now >= purpose.spend_deadline(Epoch::new(epoch)).plus(CLOCK_SKEW);
    (0..=purpose.epoch_at(now).number()).rev().find(|epoch| ended(*epoch)).map(Epoch::new)
}
