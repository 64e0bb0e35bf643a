//! The provider's file, as a service is started with it.

use std::path::Path;

use anyhow::Context as _;
use attested::{Provider, SignedProvider};
use service::CouldNotTry;

/// Reads a provider's file and checks its signature and content. (Whose signature counts is settled by who gives the
/// service its file.)
///
/// # Errors
/// When it can't be read ([`CouldNotTry`]), or isn't a provider's file.
pub fn load_provider(file: &Path) -> anyhow::Result<Provider> {
    let bytes = std::fs::read(file)
        .with_context(|| file.display().to_string())
        .context(CouldNotTry("the provider's file can't be read"))?;
    Ok(SignedProvider::parse(&bytes)?.verify()?)
}
