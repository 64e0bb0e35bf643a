//! [`AccountStore`] on SQLite.

use std::path::Path;

use accounts_api::{AccountSalt, SubscriptionState};
use receipt::{Entitlement, SubscriptionId, SubscriptionVersion};
use store::{Database, Migration, Reader, Writer, params};

use crate::{AccountStore, Covered, CreateError, NumberHash, ResetError, StoreError, Subscription};

const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "accounts", sql: include_str!("../migrations/0001_accounts.sql") },
    Migration { number: 2, name: "salts", sql: include_str!("../migrations/0002_salts.sql") },
];

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
        salt: AccountSalt,
        subscription: Subscription,
    ) -> Result<Subscription, CreateError> {
        self.0
            .write("create account", move |tx| match of_account(tx, number)? {
                Some((found, _)) if found.covered == subscription.covered => Ok(found),
                Some(_) => Err(CreateError::Exists),
                None => {
                    insert(tx, number, salt, &subscription)?;
                    Ok(subscription)
                }
            })
            .await
    }

    async fn of_account(
        &self,
        number: NumberHash,
    ) -> Result<Option<(Subscription, AccountSalt)>, StoreError> {
        self.0.read("find account", move |tx| Ok(of_account(tx, number)?)).await
    }

    async fn change_number(&self, from: NumberHash, to: NumberHash) -> Result<bool, CreateError> {
        self.0
            .write("change number", move |tx| {
                let known = |number| Ok::<_, CreateError>(of_account(tx, number)?.is_some());
                match (known(from)?, known(to)?) {
                    (false, done) => Ok(done),
                    (true, true) if from == to => Ok(true),
                    (true, true) => Err(CreateError::Exists),
                    (true, false) => {
                        let sql = "UPDATE accounts SET number_hash = ?2 WHERE number_hash = ?1";
                        Ok(tx.execute(sql, params![from.bytes(), to.bytes()])? == 1)
                    }
                }
            })
            .await
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

fn insert(
    tx: &Writer<'_>,
    number: NumberHash,
    salt: AccountSalt,
    new: &Subscription,
) -> Result<(), store::Error> {
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
        "INSERT INTO accounts (number_hash, subscription, salt) VALUES (?1, ?2, ?3)",
        params![number.bytes(), new.id.bytes(), salt.bytes()],
    )?;
    Ok(())
}

fn of_account(
    tx: &Reader<'_>,
    number: NumberHash,
) -> Result<Option<(Subscription, AccountSalt)>, store::Error> {
    let sql = "SELECT subscription, salt FROM accounts WHERE number_hash = ?1";
    let found = tx.optional(sql, params![number.bytes()], |row| {
        Ok((SubscriptionId::from_bytes(row.get(0)?), AccountSalt::from_bytes(row.get(1)?)))
    })?;
    let Some((id, salt)) = found else { return Ok(None) };
    Ok(by_id(tx, id)?.map(|subscription| (subscription, salt)))
}

fn by_id(tx: &Reader<'_>, id: SubscriptionId) -> Result<Option<Subscription>, store::Error> {
    let sql = format!("SELECT {COLUMNS} FROM subscriptions WHERE id = ?1");
    tx.optional(&sql, params![id.bytes()], |row| {
        let refunded = row.get(2)?;
        Ok(Subscription {
            id: SubscriptionId::from_bytes(row.get(0)?),
            version: SubscriptionVersion::new(row.get(1)?),
            state: if refunded { SubscriptionState::Refunded } else { SubscriptionState::Active },
            covered: Covered::stored(row.get(3)?, row.get(4)?),
        })
    })
}
