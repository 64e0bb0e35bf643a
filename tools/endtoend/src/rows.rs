//! Everything that all services stored: what an attack changed, and that it changed nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use lab::Town;
use privacy_pass::SpendHash;

use crate::evidence::{Row, Stored};

/// The services that have a database.
const SERVICES: [&str; 5] = ["accounts", "issuer", "dip", "gateway", "backup"];

/// All rows of all tables of all services' databases at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows(BTreeMap<String, BTreeSet<Row>>);

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Gone,
    New,
}

impl Rows {
    /// What is stored now.
    ///
    /// # Errors
    /// When a database can't be read.
    pub fn of(town: &Town) -> Result<Self> {
        let mut all = BTreeMap::new();
        for service in SERVICES {
            for (table, rows) in Stored::by(town, service)?.dump()? {
                all.insert(format!("{service}.{table}"), rows);
            }
        }
        Ok(Self(all))
    }

    /// How many rows there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// That nothing was stored, changed or removed since.
    ///
    /// # Errors
    /// The rows that were.
    pub fn unchanged(&self, town: &Town) -> Result<()> {
        let changes = self.changes_to(&Self::of(town)?);
        ensure!(changes.is_empty(), "rows changed: {changes:#?}");
        Ok(())
    }

    /// That nothing happened since but that this token reserved an available address for itself.
    ///
    /// # Errors
    /// The rows that changed.
    pub fn only_reserved(&self, town: &Town, token: &SpendHash) -> Result<()> {
        let later = Self::of(town)?;
        let changes = self.changes_to(&later);
        let of = |table: &str, change: Change| -> Vec<&Row> {
            let one = |(name, what, _): &&(String, Change, Row)| name == table && *what == change;
            changes.iter().filter(one).map(|(_, _, row)| row).collect()
        };
        let has = |row: &Row, column: &str, value: &str| {
            row.get(column).is_some_and(|found| found == value)
        };
        let spent = of("dip.assignments", Change::New);
        let leases = of("dip.leases", Change::New);
        let (free, held) = (of("dip.ip_pool", Change::Gone), of("dip.ip_pool", Change::New));
        let reserved = match (spent.as_slice(), leases.as_slice(), free.as_slice(), held.as_slice())
        {
            ([spent], [lease], [free], [held]) => {
                has(spent, "token_hash", &hex::encode(token.as_bytes()))
                    && spent.get("lease") == lease.get("lease")
                    && has(lease, "state", "reserved")
                    && lease.get("ip") == held.get("ip")
                    && free.get("ip") == held.get("ip")
                    && has(free, "status", "available")
                    && has(held, "status", "reserved")
            }
            _ => false,
        };
        ensure!(reserved && changes.len() == 4, "not the token's reservation alone: {changes:#?}");
        Ok(())
    }

    /// Table, what happened, and the row.
    fn changes_to(&self, later: &Self) -> Vec<(String, Change, Row)> {
        let (mut all, none) = (Vec::new(), BTreeSet::new());
        let tables: BTreeSet<_> = self.0.keys().chain(later.0.keys()).collect();
        for table in tables {
            let before = self.0.get(table).unwrap_or(&none);
            let after = later.0.get(table).unwrap_or(&none);
            let gone = before.difference(after).map(|row| (Change::Gone, row));
            let new = after.difference(before).map(|row| (Change::New, row));
            all.extend(gone.chain(new).map(|(what, row)| (table.clone(), what, row.clone())));
        }
        all
    }
}
