//! The services' own keys: what can't be had by asking (an expired token, say) is signed with them.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coarse::Secret;
use jws::SigningKey;
use lab::Town;
use nsm::{DevelopmentModule, State};
use serde_json::Value;
use wire::frame::Message as _;
use wire::module::{Answer, Request};

/// The key that signs subscription receipts.
///
/// # Errors
/// When it can't be read.
pub fn srt_key(town: &Town) -> Result<SigningKey> {
    ring_key(town, "accounts", "srt")
}

/// The key that signs the DIP service's orders.
///
/// # Errors
/// When it can't be read.
pub fn order_key(town: &Town) -> Result<SigningKey> {
    ring_key(town, "dip", "order")
}

/// The key that signs receipts of issuance.
///
/// # Errors
/// When it can't be read.
pub fn issuance_key(town: &Town) -> Result<SigningKey> {
    ring_key(town, "issuer", "issuance-receipt")
}

/// The 32 bytes of a service's present key (`("accounts", "srt")`).
///
/// # Errors
/// When it can't be read.
pub fn seed(town: &Town, service: &str, name: &str) -> Result<Secret<32>> {
    Ok(Secret::new(current(town, service, name)?.as_slice().try_into()?))
}

/// The authority by which the town's security module attests. Who has its disk can attest to anything.
///
/// # Errors
/// When it can't be read.
pub fn authority(town: &Town) -> Result<nitro::DevelopmentAuthority> {
    let kept = std::fs::read(town.home("nsm").join("state/authority.bin"))?;
    Ok(nitro::DevelopmentAuthority::from_bytes(&kept)?)
}

/// The key by which the enclave mints. Who has the disk of the development module gets it; that is
/// why its root says UNTRUSTED.
///
/// # Errors
/// When it can't be unwrapped.
pub fn minting_key(town: &Town) -> Result<SigningKey> {
    Ok(SigningKey::from_seed(&minting_seed(town)?)?)
}

/// That key's 32 bytes.
///
/// # Errors
/// When it can't be unwrapped.
pub fn minting_seed(town: &Town) -> Result<Secret<32>> {
    let wrapped = current(town, "parent", "minting")?;
    let enclave = std::fs::read(town.program("enclave"))?;
    // A copy: the module that runs has its own.
    let room = tempfile::tempdir()?;
    for name in ["authority.bin", "wrapping.bin"] {
        std::fs::copy(town.home("nsm").join("state").join(name), room.path().join(name))?;
    }
    let mut module = DevelopmentModule::new(State::open(room.path())?, nitro::extended(&enclave));
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let serving = std::thread::spawn(move || module.serve(&mut theirs));
    Request::Unwrap { wrapped }.write_to(&mut ours)?;
    let answer = Answer::read_from(&mut ours)?;
    drop(ours);
    serving.join().ok().context("the module panicked")??;
    let Some(Answer::Secret(seed)) = answer else { bail!("the module doesn't unwrap") };
    Ok(Secret::new(seed.as_slice().try_into()?))
}

/// A ring of keys is so many hours older than it was: as if that time had passed.
///
/// # Errors
/// When it can't be read or written.
pub fn age_ring(town: &Town, service: &str, role: &str, hours: u64) -> Result<()> {
    let path = ring_path(town, service, role);
    let mut ring: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let keys = ring.get_mut("keys").and_then(Value::as_array_mut).context("no keys")?;
    for key in keys {
        let since = key.get("since").and_then(Value::as_u64).context("no hour")?;
        key.as_object_mut().context("no key")?.insert("since".into(), (since - hours).into());
    }
    // Whole or not at all, as the service's own writers do it.
    let fresh = path.with_extension("aged");
    std::fs::write(&fresh, serde_json::to_vec(&ring)?)?;
    Ok(std::fs::rename(fresh, path)?)
}

fn ring_path(town: &Town, service: &str, role: &str) -> PathBuf {
    town.home(service).join("state/keys").join(format!("{role}.ring"))
}

/// The secret of a ring's current key.
fn current(town: &Town, service: &str, role: &str) -> Result<Vec<u8>> {
    let ring: Value = serde_json::from_slice(&std::fs::read(ring_path(town, service, role))?)?;
    let keys = ring.get("keys").and_then(Value::as_array).context("no keys")?;
    let current = keys.iter().find(|key| key.get("standing") == Some(&"current".into()));
    let secret = current.and_then(|key| key.get("secret")).and_then(Value::as_str);
    Ok(URL_SAFE_NO_PAD.decode(secret.context("no current key")?)?)
}

fn ring_key(town: &Town, service: &str, role: &str) -> Result<SigningKey> {
    Ok(SigningKey::from_seed(&seed(town, service, role)?)?)
}
