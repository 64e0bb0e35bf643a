//! A line of a list, and what may be wrong with it.

use csv::StringRecord;
use lease::{ExitAddress, ParseError};

use super::{COLUMNS, Defaults, Site};
use crate::block::{Block, BlockError};
use crate::lines::{FormError, unquoted};

/// What is wrong with a line of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The file has no lines that could be read.
    #[error(transparent)]
    Form(#[from] FormError),
    /// No column is called `address`.
    #[error("the first line names the columns: address, and perhaps region and gateway")]
    NoAddresses,
    /// A column of another name, or one that comes twice.
    #[error("the columns are called address, region and gateway, each once at most")]
    Column,
    /// More fields than columns, or fewer.
    #[error("the line has {found} fields, and there are {columns} columns")]
    Fields {
        /// How many fields there are.
        found: usize,
        /// How many columns there are.
        columns: usize,
    },
    /// A quotation mark inside a field, or one without its partner.
    #[error("quotation marks stand around a whole field, or not at all")]
    Quotes,
    /// What stands for the address is none.
    #[error(transparent)]
    Address(#[from] BlockError),
    /// What stands for the region is none.
    #[error(transparent)]
    Region(#[from] ParseError),
    /// No region is said, here or elsewhere.
    #[error("the region is missing: name one for each line, or one for all that name none")]
    NoRegion,
    /// What stands for the gateway is no name.
    #[error("a gateway's name is 1 to 32 lower-case letters, digits and hyphens")]
    Gateway,
    /// No gateway is named, here or elsewhere.
    #[error("the gateway is missing: name one for each line, or one for all that name none")]
    NoGateway,
    /// The list is too long.
    #[error("the list has more than 1,000,000 addresses: split it")]
    TooMany,
    /// An address comes again.
    #[error(
        "{count} of this line's addresses are on line {before} already, the first of them {first}"
    )]
    Repeated {
        /// How many addresses come again.
        count: usize,
        /// The lowest of them.
        first: ExitAddress,
        /// The line where they came first: an earlier one.
        before: usize,
    },
    /// A prefix has what another line has.
    #[error("{this} and line {other_line}'s {other} have addresses in common ({count} such pairs)")]
    Overlap {
        /// An address or prefix of this line.
        this: ExitAddress,
        /// The other line, an earlier one.
        other_line: usize,
        /// What it has.
        other: ExitAddress,
        /// How many such pairs these two lines have.
        count: usize,
    },
}

/// Where the columns are.
pub(super) struct Columns {
    count: usize,
    address: usize,
    region: Option<usize>,
    gateway: Option<usize>,
}

impl Columns {
    pub(super) fn read(header: &StringRecord, defaults: &Defaults) -> Result<Self, RowError> {
        let names: Option<Vec<String>> = header.iter().map(unquoted).collect();
        let names = names.ok_or(RowError::Quotes)?;
        let place = |name| names.iter().position(|other| other == name);
        let known = COLUMNS.iter().filter(|name| place(**name).is_some()).count();
        let [address, region, gateway] = COLUMNS.map(place);
        let address = address.ok_or(RowError::NoAddresses)?;
        if known != names.len() {
            return Err(RowError::Column);
        }
        if region.is_none() && defaults.region.is_none() {
            return Err(RowError::NoRegion);
        }
        if gateway.is_none() && defaults.gateway.is_none() {
            return Err(RowError::NoGateway);
        }
        Ok(Self { count: names.len(), address, region, gateway })
    }

    pub(super) fn row(
        &self,
        record: &StringRecord,
        defaults: &Defaults,
    ) -> Result<(Block, Site), RowError> {
        if record.len() != self.count {
            return Err(RowError::Fields { found: record.len(), columns: self.count });
        }
        let field = |column: Option<usize>| {
            let field = column.and_then(|column| record.get(column)).unwrap_or_default();
            unquoted(field).ok_or(RowError::Quotes)
        };
        let block = field(Some(self.address))?.parse()?;
        let region = match field(self.region)? {
            name if name.is_empty() => defaults.region.clone().ok_or(RowError::NoRegion)?,
            name => name.try_into()?,
        };
        let gateway = match field(self.gateway)? {
            name if name.is_empty() => defaults.gateway.clone().ok_or(RowError::NoGateway)?,
            name => name,
        };
        Ok((block, Site::new(region, gateway)?))
    }
}
