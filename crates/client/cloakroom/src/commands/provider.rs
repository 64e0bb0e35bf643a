//! `cloakroom provider`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use attested::SignedProvider;
use coarse::{Secret, system_rng};
use jws::SigningKey;

use crate::arguments::Provider;
use crate::output::{Failure, note};

pub(crate) fn run(command: Provider) -> Result<(), Failure> {
    let Provider::Sign { draft, key, out } = command;
    let text = std::fs::read(&draft).with_context(|| draft.display().to_string());
    let provider = text
        .and_then(|text| {
            serde_json::from_slice(&text).context("the draft is not a provider's file")
        })
        .map_err(|error| Failure::untried(&error))?;
    let key = signing_key(&key).map_err(|error| Failure::untried(&error))?;
    let signed = SignedProvider::sign(&provider, &key).map_err(anyhow::Error::from)?;
    // What clients would refuse isn't published in the place of what they trust.
    if let Some(former) = former(&out)? {
        signed.may_follow(&former).map_err(anyhow::Error::from)?;
    }
    let json = signed.to_json().map_err(anyhow::Error::from)?;
    std::fs::write(&out, json).with_context(|| out.display().to_string())?;
    note(format_args!("Written to {}, signed by {}.", out.display(), signed.signer()));
    Ok(())
}

/// The file that is to be replaced.
fn former(path: &Path) -> anyhow::Result<Option<SignedProvider>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(SignedProvider::parse(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(path.display().to_string()),
    }
}

/// The key in the file; a fresh one is written (0600) when there is none.
fn signing_key(path: &Path) -> anyhow::Result<SigningKey> {
    let seed = match std::fs::read(path) {
        Ok(bytes) => Secret::new(bytes.try_into().ok().context("the key file must hold 32 bytes")?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let seed = Secret::<32>::random(&mut system_rng());
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|mut file| file.write_all(seed.expose()))
                .with_context(|| path.display().to_string())?;
            seed
        }
        Err(error) => return Err(error).context(path.display().to_string()),
    };
    Ok(SigningKey::from_seed(&seed)?)
}
