//! What the accounts service asks of its database.

use std::error::Error;

use accounts_api::AccountSalt;
use receipt::{SubscriptionId, SubscriptionVersion};

use crate::{NumberHash, Subscription};

/// Accounts and their subscriptions, kept durably. Each method is one transaction.
pub trait AccountStore: Send + Sync + 'static {
    /// Keeps a new account with its salt and subscription. When the account exists already and covers the same, its
    /// subscription is returned as it is.
    fn create(
        &self,
        number: NumberHash,
        salt: AccountSalt,
        subscription: Subscription,
    ) -> impl Future<Output = Result<Subscription, CreateError>> + Send;

    /// The subscription of an account, and the account's salt.
    fn of_account(
        &self,
        number: NumberHash,
    ) -> impl Future<Output = Result<Option<(Subscription, AccountSalt)>, StoreError>> + Send;

    /// Gives an account another number. When no account has the number `from` and one has `to`, that was done before. Whether there
    /// is such an account.
    fn change_number(
        &self,
        from: NumberHash,
        to: NumberHash,
    ) -> impl Future<Output = Result<bool, CreateError>> + Send;

    /// The subscription with this id.
    fn subscription(
        &self,
        id: SubscriptionId,
    ) -> impl Future<Output = Result<Option<Subscription>, StoreError>> + Send;

    /// Marks a subscription as refunded, again if need be, and returns it.
    fn refund(
        &self,
        id: SubscriptionId,
    ) -> impl Future<Output = Result<Option<Subscription>, StoreError>> + Send;

    /// Raises a subscription's version from `from` to the next, and returns the subscription. When it is
    /// at that next version already, nothing changes.
    fn reset(
        &self,
        id: SubscriptionId,
        from: SubscriptionVersion,
    ) -> impl Future<Output = Result<Option<Subscription>, ResetError>> + Send;
}

/// The database failed. Nothing was changed, or all of it (when the connection to a server broke during a commit): the same request may be
/// sent again.
#[derive(Debug, thiserror::Error)]
#[error("the database failed")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

impl StoreError {
    /// What failed, in words that name no row.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync) {
        &*self.0
    }
}

impl From<store::Error> for StoreError {
    fn from(error: store::Error) -> Self {
        Self(Box::new(error))
    }
}

/// Why no account was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is an account of this number, and it covers something else.
    #[error("the account exists and covers something else")]
    Exists,
    /// See there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a subscription's version was not raised.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// It is neither at the version that was to end nor at the one after it.
    #[error("the subscription is at another version")]
    OtherVersion,
    /// See there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<store::Error> for CreateError {
    fn from(error: store::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<store::Error> for ResetError {
    fn from(error: store::Error) -> Self {
        Self::Store(error.into())
    }
}
