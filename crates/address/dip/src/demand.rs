//! How many leases began, for forecasts: gathered here, and written by the hour, so that no row tells when one began.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use coarse::Week;
use lease::Region;

use crate::store::{DipStore, Error};

/// Leases that began since they were last written, by region and week. What isn't written when the program is killed is forgotten:
/// a forecast can do without.
#[derive(Default)]
pub struct Demand(Mutex<BTreeMap<(String, u32), (Region, u32)>>);

impl Demand {
    pub(crate) fn begun(&self, region: Region, week: Week) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (region.as_str().to_owned(), week.number());
        counts.entry(key).or_insert((region, 0)).1 += 1;
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// The database's; then it is still gathered.
    pub async fn write(&self, store: &impl DipStore) -> Result<(), Error> {
        let gathered = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if gathered.is_empty() {
            return Ok(());
        }
        let begun = gathered
            .iter()
            .map(|((_, week), (region, count))| (region.clone(), Week::new(*week), *count));
        let written = store.count_demand(begun.collect()).await;
        if written.is_err() {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, (region, count)) in gathered {
                counts.entry(key).or_insert((region, 0)).1 += count;
            }
        }
        written
    }
}
