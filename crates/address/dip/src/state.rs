//! What the state directory holds: the database and the key that signs orders.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use key_ring::{LiveSigner, RingError, RingFile, Role, Rules};
use service::CouldNotTry;

use crate::Journal;
use crate::store::SqliteStore;

/// Opens the database in the state directory.
pub(crate) fn open(state: &Path) -> anyhow::Result<SqliteStore> {
    const UNUSABLE: CouldNotTry = CouldNotTry("the state directory can't be used");
    ::store::private_directory(state).context(UNUSABLE)?;
    SqliteStore::open(&state.join("dip.sqlite")).context(UNUSABLE)
}

/// Opens the journal, in `directory` if one is given.
pub(crate) fn open_journal(state: &Path, directory: Option<&Path>) -> anyhow::Result<Journal> {
    const UNUSABLE: CouldNotTry = CouldNotTry("the journal can't be used");
    let default = state.join("journal");
    let directory = directory.unwrap_or(&default);
    ::store::private_directory(directory).context(UNUSABLE)?;
    Journal::open(&directory.join("dip-journal.sqlite")).context(UNUSABLE)
}

/// The key that signs orders. A day is enough to restart the enclave with the next key among those it believes; an order ends within
/// minutes.
pub(crate) const ORDER_ROLE: Role = Role {
    name: "order",
    rules: Rules { notice: Duration::from_secs(24 * 3600), overlap: lease::ORDER_LIFE, most: 4 },
    cost: "nothing is minted until the enclave runs with the next key among those it believes; clients try again by themselves",
    former_keys_work: false,
};

/// What signs orders; the first key is made at first use.
pub(crate) fn order_key(state: &Path) -> Result<LiveSigner, RingError> {
    LiveSigner::open(RingFile::of(state, ORDER_ROLE.name))
}
