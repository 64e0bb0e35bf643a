//! Complaints about addresses, and what is done to their leases.

use coarse::Week;
use lease::{ExitAddress, Notice};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AddressState, CaseAct, Category};

/// The lease of an address, as an operator sees it: without its id, which nobody needs for anything here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseView {
    /// The address.
    #[schema(value_type = String)]
    pub address: ExitAddress,
    /// `reserved`, `leased` or `grace`.
    pub state: AddressState,
    /// The week at whose start it ends as things stand.
    #[schema(value_type = u32)]
    pub until_week: Week,
    /// Whether it is frozen.
    pub frozen: bool,
    /// What its holder is told at each refresh.
    #[schema(value_type = Option<WrittenNotice>)]
    pub notice: Option<Notice>,
}

/// Which lease to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseAt {
    /// The address.
    pub address: ExitAddress,
}

/// Does something to the lease of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkLease {
    /// The address.
    #[schema(value_type = String)]
    pub address: ExitAddress,
    /// What.
    pub mark: Mark,
    /// What it is about.
    pub category: Category,
}

/// What is done to a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// It gets no new tokens, and its holder is told this.
    #[schema(value_type = WrittenNotice)]
    Freeze(Notice),
    /// A freeze is over, and so is what the holder was told.
    Thaw,
    /// Its holder is told this.
    #[schema(value_type = WrittenNotice)]
    Notice(Notice),
}

/// [`Notice`] as it is written.
#[derive(ToSchema)]
#[schema(as = Notice)]
#[expect(dead_code, reason = "a shape")]
struct WrittenNotice {
    /// The provider's name for the case: 32 bytes at most.
    reference: String,
    /// What there is to say: 400 bytes at most.
    text: String,
}

/// A complaint about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Complaint {
    /// The address.
    #[schema(value_type = String)]
    pub address: ExitAddress,
    /// What it is about.
    pub category: Category,
}

/// A complaint was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Complained {
    /// Who has the address; nothing when nobody has.
    pub lease: Option<LeaseView>,
}

/// Counts of complaints, and of what was done about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cases {
    /// By week, act and category.
    pub cases: Vec<Case>,
}

/// How often something was done in a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Case {
    /// The week.
    #[schema(value_type = u32)]
    pub week: Week,
    /// What was done.
    pub act: CaseAct,
    /// What it was about.
    pub category: Category,
    /// How often.
    pub count: u32,
}
