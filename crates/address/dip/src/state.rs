//! What the state directory holds: the database and the key that signs orders.

use std::path::Path;

use anyhow::Context as _;
use jws::SigningKey;
use service::CouldNotTry;

use crate::store::SqliteStore;

/// Opens the database in the state directory.
pub(crate) fn open(state: &Path) -> anyhow::Result<SqliteStore> {
    const UNUSABLE: CouldNotTry = CouldNotTry("the state directory can't be used");
    ::store::private_directory(state).context(UNUSABLE)?;
    SqliteStore::open(&state.join("dip.sqlite")).context(UNUSABLE)
}

/// The key that signs orders, made at first use.
pub(crate) fn order_key(state: &Path) -> anyhow::Result<SigningKey> {
    let keys = state.join("keys");
    ::store::private_directory(&keys)?;
    let seed = ::store::load_or_create(&keys.join("order.key"), &mut coarse::system_rng())?;
    Ok(SigningKey::from_seed(&seed)?)
}
