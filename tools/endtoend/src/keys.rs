//! The services' own keys: what can't be had by asking (an expired token, say) is signed with them.

use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail};
use coarse::Secret;
use jws::SigningKey;
use lab::Town;
use nsm::{DevelopmentModule, State};
use wire::frame::Message as _;
use wire::module::{Answer, Request};

/// The key that signs subscription receipts.
///
/// # Errors
/// When it can't be read.
pub fn srt_key(town: &Town) -> Result<SigningKey> {
    file_key(town, "accounts", "srt.key")
}

/// The key that signs the DIP service's orders.
///
/// # Errors
/// When it can't be read.
pub fn order_key(town: &Town) -> Result<SigningKey> {
    file_key(town, "dip", "order.key")
}

/// The key that signs receipts of issuance.
///
/// # Errors
/// When it can't be read.
pub fn issuance_key(town: &Town) -> Result<SigningKey> {
    file_key(town, "issuer", "issuance-receipt.key")
}

/// The 32 bytes of a service's key file: `("accounts", "srt.key")`, say.
///
/// # Errors
/// When it can't be read.
pub fn seed(town: &Town, service: &str, name: &str) -> Result<Secret<32>> {
    let bytes = std::fs::read(town.home(service).join("state/keys").join(name))?;
    Ok(Secret::new(bytes.as_slice().try_into()?))
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
    let wrapped = std::fs::read(town.home("parent").join("state/minting-key.wrapped"))?;
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

fn file_key(town: &Town, service: &str, name: &str) -> Result<SigningKey> {
    Ok(SigningKey::from_seed(&seed(town, service, name)?)?)
}
