//! Lists of addresses, as CSV (RFC 4180).
//!
//! ```text
//! # Comments and empty lines are passed over.
//! address,region,gateway
//! 203.0.113.7,eu-1,gw1
//! 203.0.113.64/26,eu-1,gw1
//! 2001:db8:1::/48,eu-2,gw2
//! ```
//!
//! The first line names the columns, in any order. `address` is a [`Block`](crate::Block): an address, a leased prefix, or
//! a block that stands for all that it has. `region` and `gateway` may be left out, as columns or in a line, where there is a default.
//! The text is UTF-8, lines end with LF or CRLF, and a byte order mark does no harm.

mod compare;
mod row;
#[cfg(test)]
mod tests;

pub use row::RowError;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lease::{ExitAddress, Region};

use self::compare::compare;
use self::row::Columns;
use crate::exclusions::Exclusions;
use crate::lines::{LineErrors, records, text};

/// The most addresses and prefixes that a list has, those that are excluded too.
pub const MOST_ADDRESSES: usize = 1_000_000;
/// The columns, in the order in which they are written.
const COLUMNS: [&str; 3] = ["address", "region", "gateway"];

/// Where an address is, and who serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    region: Region,
    gateway: String,
}

impl Site {
    /// This region, at the gateway of this name.
    ///
    /// # Errors
    /// [`RowError::Gateway`].
    pub fn new(region: Region, gateway: String) -> Result<Self, RowError> {
        let letters = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=32).contains(&gateway.len()) && gateway.bytes().all(letters) {
            Ok(Self { region, gateway })
        } else {
            Err(RowError::Gateway)
        }
    }

    /// The region.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// The gateway's name.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }
}

/// What a list's lines needn't say.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Where addresses are for which the list says no region.
    pub region: Option<Region>,
    /// Who serves addresses for which the list names no gateway.
    pub gateway: Option<String>,
    /// What is left out of the list.
    pub excluded: Exclusions,
}

/// Addresses and prefixes, none of which has what another has, and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    sites: BTreeMap<Site, Vec<ExitAddress>>,
    excluded: usize,
}

impl List {
    /// How many addresses and prefixes there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sites.values().map(Vec::len).sum()
    }

    /// How many were left out.
    #[must_use]
    pub const fn excluded(&self) -> usize {
        self.excluded
    }

    /// Each address or prefix and where it is: by site, then in order.
    pub fn rows(&self) -> impl Iterator<Item = (ExitAddress, &Site)> {
        self.sites().flat_map(|(site, addresses)| addresses.iter().map(move |one| (*one, site)))
    }

    /// Each site and its addresses, in order.
    pub fn sites(&self) -> impl Iterator<Item = (&Site, &[ExitAddress])> {
        self.sites.iter().map(|(site, addresses)| (site, addresses.as_slice()))
    }
}

/// Reads a list.
///
/// # Errors
/// Everything that is wrong, line by line.
pub fn read_list(file: &[u8], defaults: &Defaults) -> Result<List, LineErrors<RowError>> {
    let text = text(file).map_err(LineErrors::translated)?;
    let mut records = records(text);
    let (line, header) = records.next().ok_or_else(|| LineErrors::one(1, RowError::NoAddresses))?;
    let columns = Columns::read(&header, defaults).map_err(|error| LineErrors::one(line, error))?;
    let (mut list, mut errors) = (List::default(), LineErrors::default());
    let (mut offered, mut lines) = (0, Vec::new());
    for (line, record) in records {
        match columns.row(&record, defaults) {
            Err(error) => errors.add(line, error),
            Ok((block, site)) => {
                offered += block.count() as usize;
                if offered > MOST_ADDRESSES {
                    errors.add(line, RowError::TooMany);
                    break;
                }
                let addresses = block.without(&defaults.excluded);
                list.excluded += block.count() as usize - addresses.len();
                lines.extend(addresses.iter().map(|address| (*address, line)));
                list.sites.entry(site).or_default().extend(addresses);
            }
        }
    }
    compare(lines, &mut errors);
    list.sites.retain(|_, addresses| !addresses.is_empty());
    list.sites.values_mut().for_each(|addresses| addresses.sort_unstable());
    errors.or(list)
}

/// Writes a list that [`read_list`] reads, with all three columns.
#[must_use]
pub fn write_list<'a>(rows: impl IntoIterator<Item = (ExitAddress, &'a Site)>) -> String {
    let mut text = COLUMNS.join(",") + "\r\n";
    for (address, Site { region, gateway }) in rows {
        // A `String` takes everything.
        let _ = match address.prefix() {
            // By itself it would be a block of prefixes of 64 bits.
            Some(length) if length != 64 => write!(text, "{address}/{length}"),
            _ => write!(text, "{address}"),
        };
        let _ = write!(text, ",{region},{gateway}\r\n");
    }
    text
}
