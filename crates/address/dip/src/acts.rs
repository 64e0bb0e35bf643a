//! What operators do here, as the audit trail calls it.

/// Addresses were added.
pub(crate) const POOL_IMPORT: &str = "pool-import";
/// Addresses were drained, blocked or opened.
pub(crate) const POOL_SERVICE: &str = "pool-service";
/// Addresses were moved to another gateway.
pub(crate) const POOL_MOVE: &str = "pool-move";
/// It was said where a region is.
pub(crate) const REGION_PLACE: &str = "region-place";
/// A gateway was named.
pub(crate) const GATEWAY_SET: &str = "gateway-set";
/// The issuer's keys were taken in.
pub(crate) const KEYS_IMPORT: &str = "token-keys-import";
/// A lease was frozen.
pub(crate) const LEASE_FREEZE: &str = "lease-freeze";
/// A freeze was ended.
pub(crate) const LEASE_THAW: &str = "lease-thaw";
/// A lease's holder was told something.
pub(crate) const LEASE_NOTICE: &str = "lease-notice";
/// A complaint was counted.
pub(crate) const COMPLAINT: &str = "complaint";
