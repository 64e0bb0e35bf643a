//! The pool: counts, lists, and what changes it.

use coarse::{Epoch, Week};
use lease::{ExitAddress, Region};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AddressState, GatewayName, Service};

/// Counts of the whole pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolStatus {
    /// By region.
    pub regions: Vec<RegionStatus>,
    /// Epochs whose tokens can be verified.
    #[schema(value_type = Vec<u32>)]
    pub token_key_epochs: Vec<Epoch>,
}

/// How many addresses of a region are in which state: each is counted once, but for [`withdrawing`](Self::withdrawing).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegionStatus {
    /// The region.
    #[schema(value_type = String)]
    pub region: Region,
    /// To be had.
    pub available: u32,
    /// Reserved by a token, without a grant so far.
    pub reserved: u32,
    /// Leased.
    pub leased: u32,
    /// Leased still, though nobody can extend it any more: the refresh token has ended, or the lease was given back.
    pub grace: u32,
    /// Formerly leased, and not to be had yet.
    pub quarantine: u32,
    /// Nobody has it, and nobody gets it: the operator is taking it out.
    pub drained: u32,
    /// Nobody has it, and nobody may use it.
    pub blocked: u32,
    /// Among those reserved, leased or in grace: so many are drained or blocked as soon as they are free.
    pub withdrawing: u32,
}

impl RegionStatus {
    /// A region without addresses.
    #[must_use]
    pub const fn empty(region: Region) -> Self {
        Self {
            region,
            available: 0,
            reserved: 0,
            leased: 0,
            grace: 0,
            quarantine: 0,
            drained: 0,
            blocked: 0,
            withdrawing: 0,
        }
    }

    /// All addresses of the region.
    #[must_use]
    pub const fn total(&self) -> u32 {
        let held = self.reserved + self.leased + self.grace;
        self.available + held + self.quarantine + self.drained + self.blocked
    }
}

/// The pool, and what it will become if nobody does anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Survey {
    /// The present week.
    #[schema(value_type = u32)]
    pub week: Week,
    /// By region.
    pub regions: Vec<RegionSurvey>,
}

/// A region, and what it will become if nobody does anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegionSurvey {
    /// How it is.
    pub status: RegionStatus,
    /// In which weeks quarantines end.
    pub quarantine_ends: Vec<WeekCount>,
    /// In which weeks leases end that aren't extended until then.
    pub lease_ends: Vec<WeekCount>,
    /// In which weeks leases began, as far as that is remembered: half a year.
    pub begun: Vec<WeekCount>,
}

/// A number of addresses in a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WeekCount {
    /// The week.
    #[schema(value_type = u32)]
    pub week: Week,
    /// How many.
    pub count: u32,
}

/// What was tidied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tidied {
    /// Whether there is more to do: ask again.
    pub more: bool,
}

/// Which addresses to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Those of this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Those at this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayName>,
    /// Those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AddressState>,
    /// Those that come after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ExitAddress>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page {
    /// Addresses, in order.
    pub addresses: Vec<AddressView>,
    /// After which to go on; nothing when this was all.
    #[schema(value_type = Option<String>)]
    pub next: Option<ExitAddress>,
}

/// An address of the pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddressView {
    /// The address.
    #[schema(value_type = String)]
    pub address: ExitAddress,
    /// Where it is.
    #[schema(value_type = String)]
    pub region: Region,
    /// Who serves it.
    #[schema(value_type = String)]
    pub gateway: GatewayName,
    /// Who has it.
    pub state: AddressState,
    /// What the operator wants of it.
    pub service: Service,
    /// The week at whose start a reservation, lease or quarantine ends.
    #[schema(value_type = Option<u32>)]
    pub until_week: Option<Week>,
    /// Whether its lease is frozen.
    pub frozen: bool,
}

/// Adds addresses. One that is there already, of the same region and gateway, stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolImport {
    /// At most [`MOST_ADDRESSES`](super::MOST_ADDRESSES).
    pub addresses: Vec<NewAddress>,
    /// Only says what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// An address to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAddress {
    /// The address, or a prefix of one's own.
    #[schema(value_type = String)]
    pub address: ExitAddress,
    /// Where it is.
    #[schema(value_type = String)]
    pub region: Region,
    /// Who serves it.
    #[schema(value_type = String)]
    pub gateway: GatewayName,
}

/// What an import did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Addresses that are new in the pool.
    pub new: usize,
    /// Addresses that were there already.
    pub known: usize,
}

/// Changes something about addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Alter {
    /// Which: at most [`MOST_ADDRESSES`](super::MOST_ADDRESSES).
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<ExitAddress>,
    /// What.
    pub change: Change,
    /// Only says what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// What is wanted of them.
    Service(Service),
    /// Who serves them.
    #[schema(value_type = String)]
    Gateway(GatewayName),
}

/// What a change did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Altered {
    /// Addresses that were changed.
    pub changed: usize,
    /// Addresses that were as wanted before.
    pub same: usize,
    /// Among those changed: addresses that somebody has.
    pub held: usize,
    /// Addresses that aren't in the pool.
    pub unknown: usize,
}

impl Altered {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            changed: self.changed + other.changed,
            same: self.same + other.same,
            held: self.held + other.held,
            unknown: self.unknown + other.unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_counted_once() {
        let region: Region = "eu-1".parse().unwrap();
        let status = RegionStatus {
            available: 1,
            reserved: 2,
            leased: 4,
            grace: 8,
            quarantine: 16,
            drained: 32,
            blocked: 64,
            withdrawing: 5,
            ..RegionStatus::empty(region)
        };
        assert_eq!(status.total(), 127);
    }
}
