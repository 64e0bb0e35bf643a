//! The operator's token: 64 hexadecimal digits in a file, which whoever may read the state directory has.

use std::path::{Path, PathBuf};

use coarse::SecretText;
use service::OperatorSecret;
use zeroize::Zeroizing;

/// Where the operator's token is when nothing else is said.
#[must_use]
pub fn token_file(state: &Path) -> PathBuf {
    state.join("operator.token")
}

/// The operator's token, made at first use.
///
/// # Errors
/// When the file can't be read or written, or holds a token that could be guessed.
pub fn operator_token(state: &Path) -> anyhow::Result<OperatorSecret> {
    let path = token_file(state);
    store::create_secret_file(&path, &mut coarse::system_rng(), |rng| {
        Zeroizing::new(hex::encode(coarse::Secret::<32>::random(rng).expose()).into_bytes())
    })?;
    let mut text = std::fs::read_to_string(&path)?;
    text.truncate(text.trim_end().len());
    Ok(OperatorSecret::new(SecretText::new(text))?)
}
