//! `demo.json`, in the form that `cloakroom demo --keep` leaves: whatever runs against such a demo runs against a
//! test's provider.

use std::path::PathBuf;

use anyhow::Result;
use endtoend::customer::Customer;
use lab::Town;
use serde_json::json;

/// Writes the file for a town, with this customer's account and a fresh subscription receipt to spare.
///
/// # Errors
/// When the customer can't log in or the file can't be written.
pub fn write(town: &Town, customer: &Customer) -> Result<PathBuf> {
    with_spare(town, &customer.account, customer.srt()?.as_str())
}

/// The same for somebody with this account and subscription receipt.
///
/// # Errors
/// When the file can't be written.
pub fn with_spare(town: &Town, account: &str, srt: &str) -> Result<PathBuf> {
    let demo = json!({
        "urls": {
            "accounts": town.url("accounts")?,
            "blind_token_service": town.url("issuer")?,
            "enclave": town.url("parent")?,
            "dip_service": town.url("dip")?,
            "gateway": town.url("gateway")?,
            "backup_service": town.url("backup")?,
        },
        "provider": town.provider(),
        "spare": { "account": account, "srt": srt },
    });
    let path = town.provider().with_file_name("demo.json");
    std::fs::write(&path, demo.to_string())?;
    Ok(path)
}
