//! [`AccountStore`] on PostgreSQL, for several instances of the service.
//!
//! Each step is a single statement, at READ COMMITTED: what it decides on is the row that it changes, which is locked from then on, or a key that
//! is there once only. A statement that finds nothing to change is followed by one that looks why, which sees what was committed meanwhile.

use accounts_api::{AccountSalt, SubscriptionState};
use receipt::{Entitlement, SubscriptionId, SubscriptionVersion};
use store::Migration;
use store::postgres::{DatabaseUrl, Owner, Row, Server};

use crate::{AccountStore, Covered, CreateError, NumberHash, ResetError, StoreError, Subscription};

/// Whose database it is.
const OWNER: Owner = Owner { service: "accounts", side: "identity" };

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "accounts",
    sql: include_str!("../migrations/postgres/0001_accounts.sql"),
}];

/// How often what was there is looked for again, when it is gone by the time that it is looked at.
const TRIES: usize = 8;

/// The accounts' database on a server.
#[derive(Clone)]
pub struct PostgresAccounts(Server);

impl PostgresAccounts {
    /// Connects to the database, and makes its tables when there are none.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, store::Error> {
        Server::connect(url, OWNER, MIGRATIONS).await.map(Self)
    }

    /// The server, for what isn't the service's own work.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.0
    }
}

impl AccountStore for PostgresAccounts {
    /// The account's key is there once: of two that come at a time one waits for the other's commit, and then finds its account.
    async fn create(
        &self,
        number: NumberHash,
        salt: AccountSalt,
        new: Subscription,
    ) -> Result<Subscription, CreateError> {
        const SQL: &str = "WITH made AS (
                INSERT INTO accounts (number_hash, subscription_id, salt) VALUES ($1, $2, $3)
                ON CONFLICT (number_hash) DO NOTHING RETURNING subscription_id
            )
            INSERT INTO subscriptions (subscription_id, version, refunded, dedicated_ip, access)
            SELECT subscription_id, $4, $5, $6, $7 FROM made";
        for _ in 0..TRIES {
            let values = [
                number.bytes().into(),
                new.id.bytes().into(),
                salt.bytes().into(),
                new.version.number().into(),
                (new.state == SubscriptionState::Refunded).into(),
                new.covered.has(Entitlement::DedicatedIp).into(),
                new.covered.has(Entitlement::Access).into(),
            ];
            if self.0.write("create account").execute(SQL, &values).await? == 1 {
                return Ok(new);
            }
            match self.of_account(number).await? {
                Some((found, _)) if found.covered == new.covered => return Ok(found),
                Some(_) => return Err(CreateError::Exists),
                // Its number was changed just now.
                None => {}
            }
        }
        Err(store::Error::Contended.into())
    }

    async fn of_account(
        &self,
        number: NumberHash,
    ) -> Result<Option<(Subscription, AccountSalt)>, StoreError> {
        const SQL: &str = "SELECT subscription_id, version, refunded, dedicated_ip, access, salt
            FROM accounts JOIN subscriptions USING (subscription_id) WHERE number_hash = $1";
        let find = self.0.read("find account");
        let take = |row: &Row| Ok((subscription(row)?, AccountSalt::from_bytes(row.bytes(5)?)));
        Ok(find.optional(SQL, &[number.bytes().into()], take).await?)
    }

    /// The row is locked by whoever changes it first: another change of the same number then finds no such row, and looks why. A number
    /// that somebody else takes at the same time is refused by its key.
    async fn change_number(&self, from: NumberHash, to: NumberHash) -> Result<bool, CreateError> {
        const CHANGE: &str = "UPDATE accounts SET number_hash = $2 WHERE number_hash = $1
            AND ($1 = $2 OR NOT EXISTS (SELECT FROM accounts WHERE number_hash = $2))";
        const LOOK: &str = "SELECT EXISTS (SELECT FROM accounts WHERE number_hash = $1),
            EXISTS (SELECT FROM accounts WHERE number_hash = $2)";
        let values = [from.bytes().into(), to.bytes().into()];
        for _ in 0..TRIES {
            match self.0.write("change number").execute(CHANGE, &values).await {
                Ok(1) => return Ok(true),
                Ok(_) | Err(store::Error::Duplicate) => {}
                Err(error) => return Err(error.into()),
            }
            let look = self.0.read("look at numbers");
            match look.row(LOOK, &values, |row| Ok((row.flag(0)?, row.flag(1)?))).await? {
                (false, done) => return Ok(done),
                (true, true) if from != to => return Err(CreateError::Exists),
                // One of them came, or went, just now.
                (true, _) => {}
            }
        }
        Err(store::Error::Contended.into())
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.by_id(id).await?)
    }

    async fn refund(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        const SQL: &str = "UPDATE subscriptions SET refunded = true WHERE subscription_id = $1
            RETURNING subscription_id, version, refunded, dedicated_ip, access";
        let refund = self.0.write("refund subscription");
        Ok(refund.optional(SQL, &[id.bytes().into()], subscription).await?)
    }

    /// Of two that raise the same version one waits for the other, and then finds the row at the next.
    async fn reset(
        &self,
        id: SubscriptionId,
        from: SubscriptionVersion,
    ) -> Result<Option<Subscription>, ResetError> {
        const SQL: &str = "UPDATE subscriptions SET version = $3
            WHERE subscription_id = $1 AND version = $2
            RETURNING subscription_id, version, refunded, dedicated_ip, access";
        let next = from.next();
        let values = [id.bytes().into(), from.number().into(), next.number().into()];
        let reset = self.0.write("reset subscription");
        if let Some(raised) = reset.optional(SQL, &values, subscription).await? {
            return Ok(Some(raised));
        }
        match self.by_id(id).await? {
            Some(found) if found.version != next => Err(ResetError::OtherVersion),
            found => Ok(found),
        }
    }
}

impl PostgresAccounts {
    async fn by_id(&self, id: SubscriptionId) -> Result<Option<Subscription>, store::Error> {
        const SQL: &str = "SELECT subscription_id, version, refunded, dedicated_ip, access
            FROM subscriptions WHERE subscription_id = $1";
        let find = self.0.read("find subscription");
        find.optional(SQL, &[id.bytes().into()], subscription).await
    }
}

/// The subscription in a row's first columns.
fn subscription(row: &Row) -> Result<Subscription, store::Error> {
    let refunded = row.flag(2)?;
    Ok(Subscription {
        id: SubscriptionId::from_bytes(row.bytes(0)?),
        version: SubscriptionVersion::new(row.number(1)?),
        state: if refunded { SubscriptionState::Refunded } else { SubscriptionState::Active },
        covered: Covered::stored(row.flag(3)?, row.flag(4)?),
    })
}
