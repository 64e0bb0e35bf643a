//! One address on two devices: its refresh token goes to the backup service under an Access Code, and from there to another device, which
//! gets an access token of its own.

#[cfg(test)]
mod codes;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod rewriting;

use std::time::Duration;

use access_code::{BackupKeys, Contents};
use anyhow::{Context as _, Result, ensure};
use backup_api::{Blob, Found, READ};
use coarse::Secret;
use encoding::Base64Url;
use endtoend::program::User;
use endtoend::{keys, services};
use jws::KeySet;
use lab::Town;
use minting::Drt;
use serde_json::{Value, json};

/// A customer with an address and its backup, and the code.
fn backed_up(town: &Town) -> Result<(User, String)> {
    let user = User::logged_in(town)?;
    user.assign()?.json()?;
    let made = user.run(&["dip", "backup"])?.json()?;
    Ok((user, text(&made, "/access_code")?))
}

/// Another device of theirs, which has logged in.
fn another_device(user: &User) -> Result<User> {
    user.on_another_device()?.who_logs_in()
}

fn text(json: &Value, pointer: &str) -> Result<String> {
    let found = json.pointer(pointer).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no {pointer} in {json}"))?.to_owned())
}

fn wallet(user: &User) -> Result<Value> {
    Ok(serde_json::from_str(&user.wallet().context("no wallet")?)?)
}

/// Makes a wallet's refresh token one of five days ago, as if it had been refreshed then. (A token says when it ends, to the hour: two of
/// one hour are the same.)
fn refreshed_five_days_ago(town: &Town, user: &User) -> Result<()> {
    let key = keys::minting_key(town)?;
    let then = services::now().minus(Duration::from_secs(5 * 24 * 3600));
    let mut wallet = wallet(user)?;
    let drt = text(&wallet, "/dip/leased/minted/drt")?;
    let drt = Drt::verify(&drt, &KeySet::from(key.verifying_key()), services::now())?;
    let minted = wallet.pointer_mut("/dip/leased/minted").context("no lease")?;
    let minted = minted.as_object_mut().context("no object")?;
    minted.insert("drt".into(), json!(drt.sign(&key, then)?));
    minted.insert("drt_ends".into(), json!(Drt::end(then)));
    Ok(std::fs::write(user.home().join("wallet.json"), wallet.to_string())?)
}

/// The keys of a wallet's backup.
fn backup_keys(user: &User) -> Result<BackupKeys> {
    let root = text(&wallet(user)?, "/backup/current/root")?;
    let root = Base64Url::from_text(&root).context("no base64")?;
    Ok(BackupKeys::from_root(Secret::new(<[u8; 32]>::try_from(root.as_ref())?))?)
}

/// What the backup service answers for these keys' place.
fn answered(town: &Town, keys: &BackupKeys) -> Result<Blob> {
    let body = json!({ "locator": keys.locator() }).to_string().into_bytes();
    let kind = [("content-type", "application/json")];
    let answer = services::ask(http::Method::POST, &town.url("backup")?, READ, &kind, body)?;
    ensure!(answer.status == 200, "{:?}", answer.refusal());
    Ok(answer.json::<Found>()?.blob)
}

/// What is backed up under these keys.
fn contents(town: &Town, keys: &BackupKeys) -> Result<Contents> {
    Ok(keys.open(&answered(town, keys)?)?)
}
