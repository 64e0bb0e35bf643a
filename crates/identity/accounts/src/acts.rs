//! What operators do here, as the audit trail calls it.

/// An account was made, or a subscription added to one.
pub(crate) const ACCOUNT_CREATE: &str = "account-create";
/// A subscription was paid back.
pub(crate) const SUBSCRIPTION_REFUND: &str = "subscription-refund";
/// A subscription's refresh tokens were given up.
pub(crate) const SUBSCRIPTION_RESET: &str = "subscription-reset";
