//! Leases, exit addresses and the tokens that name them.
//!
//! This crate names where: it belongs to the address side of the wall, and nothing that reaches it may
//! name a subscriber, but for the enclave and the client.

mod address;
mod dat;
mod exit_address;
mod notice;
mod order;
mod tunnel_end;

pub use address::{LeaseId, ParseError, Region};
pub use dat::{Confirmation, DAT_LIFE, Dat, DipDetails, GATEWAY_AUDIENCE};
pub use exit_address::{ExitAddress, PREFIX_LENGTHS};
pub use notice::{LONGEST_NOTICE, LONGEST_REFERENCE, Notice, NoticeError, NoticeText, Reference};
pub use order::{Extension, ExtensionOrder, Grant, ORDER_LIFE, Order, Release, RequestHash};
pub use tunnel_end::TunnelEnd;

use std::time::Duration;

/// The `iss` of what the enclave signs.
pub const ENCLAVE: &str = "enclave";
/// The `iss` of what the DIP service signs, and the `aud` of what it is given.
pub const DIP_SERVICE: &str = "dip-service";

/// How long a refresh token lives: so long may a customer stay away.
pub const DRT_LIFE: Duration = Duration::from_secs(60 * 24 * 3600);
/// What a lease outlives its refresh token by, for clocks and for the coarseness of weeks.
pub const LEASE_GRACE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The week at whose start a lease that is granted or extended `now` ends: never before its refresh token
/// and grace are over.
#[must_use]
pub const fn lease_end(now: coarse::UnixTime) -> coarse::Week {
    now.plus(DRT_LIFE).plus(LEASE_GRACE).week().next()
}

/// The week at whose start a lease ends that is given back `now`: no access token for its address lives any more.
#[must_use]
pub const fn release_end(now: coarse::UnixTime) -> coarse::Week {
    now.plus(DAT_LIFE).week().next()
}
