//! [`AccountStore`] on SQLite.

use std::path::Path;

use accounts_api::SubscriptionState;
use receipt::{Entitlement, SubscriptionId, SubscriptionVersion};
use store::{Database, Migration, Reader, Writer, params};

use crate::{AccountStore, Covered, CreateError, NumberHash, ResetError, StoreError, Subscription};

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "accounts",
    sql: include_str!("../migrations/0001_accounts.sql"),
}];

const COLUMNS: &str = "id, version, refunded, dedicated_ip, access";

/// The accounts' database file.
#[derive(Clone)]
pub struct SqliteAccounts(Database);

impl SqliteAccounts {
    /// Opens or creates the file at `path`. Blocks while it works.
    pub fn open(path: &Path) -> Result<Self, store::Error> {
        Database::open(path, MIGRATIONS).map(Self)
    }
}

impl AccountStore for SqliteAccounts {
    async fn create(
        &self,
        number: NumberHash,
        subscription: Subscription,
    ) -> Result<Subscription, CreateError> {
        self.0
            .write("create account", move |tx| match of_account(tx, number)? {
                Some(found) if found.covered == subscription.covered => Ok(found),
                Some(_) => Err(CreateError::Exists),
                None => {
                    insert(tx, number, &subscription)?;
                    Ok(subscription)
                }
            })
            .await
    }

    async fn of_account(&self, number: NumberHash) -> Result<Option<Subscription>, StoreError> {
        self.0.read("find account", move |tx| Ok(of_account(tx, number)?)).await
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.0.read("find subscription", move |tx| Ok(by_id(tx, id)?)).await
    }

    async fn refund(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.0
            .write("refund subscription", move |tx| {
                let Some(mut found) = by_id(tx, id)? else { return Ok(None) };
                found.state = SubscriptionState::Refunded;
                tx.execute(
                    "UPDATE subscriptions SET refunded = 1 WHERE id = ?1",
                    params![id.bytes()],
                )?;
                Ok(Some(found))
            })
            .await
    }

    async fn reset(
        &self,
        id: SubscriptionId,
        from: SubscriptionVersion,
    ) -> Result<Option<Subscription>, ResetError> {
        self.0
            .write("reset subscription", move |tx| {
                let Some(mut found) = by_id(tx, id)? else { return Ok(None) };
                if found.version == from {
                    found.version = from.next();
                    let sql = "UPDATE subscriptions SET version = ?2 WHERE id = ?1";
                    tx.execute(sql, params![id.bytes(), found.version.number()])?;
                } else if found.version != from.next() {
                    return Err(ResetError::OtherVersion);
                }
                Ok(Some(found))
            })
            .await
    }
}

fn insert(tx: &Writer<'_>, number: NumberHash, new: &Subscription) -> Result<(), store::Error> {
    tx.execute(
        &format!("INSERT INTO subscriptions ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5)"),
        params![
            new.id.bytes(),
            new.version.number(),
            new.state == SubscriptionState::Refunded,
            new.covered.has(Entitlement::DedicatedIp),
            new.covered.has(Entitlement::Access),
        ],
    )?;
    tx.execute(
        "INSERT INTO accounts (number_hash, subscription) VALUES (?1, ?2)",
        params![number.bytes(), new.id.bytes()],
    )?;
    Ok(())
}

fn of_account(tx: &Reader<'_>, number: NumberHash) -> Result<Option<Subscription>, store::Error> {
    let id = "(SELECT subscription FROM accounts WHERE number_hash = ?1)";
    find(tx, id, number.bytes())
}

fn by_id(tx: &Reader<'_>, id: SubscriptionId) -> Result<Option<Subscription>, store::Error> {
    find(tx, "?1", id.bytes())
}

/// The subscription whose id the SQL expression `id` yields for `key`.
fn find(tx: &Reader<'_>, id: &str, key: &[u8]) -> Result<Option<Subscription>, store::Error> {
    let sql = format!("SELECT {COLUMNS} FROM subscriptions WHERE id = {id}");
    tx.optional(&sql, params![key], |row| {
        let refunded = row.get(2)?;
        Ok(Subscription {
            id: SubscriptionId::from_bytes(row.get(0)?),
            version: SubscriptionVersion::new(row.get(1)?),
            state: if refunded { SubscriptionState::Refunded } else { SubscriptionState::Active },
            covered: Covered::stored(row.get(3)?, row.get(4)?),
        })
    })
}
