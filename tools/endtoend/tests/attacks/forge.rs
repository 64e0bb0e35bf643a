//! Tokens that no honest party makes.

use anyhow::{Context as _, Result};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coarse::Secret;
use jws::Compact;
use serde_json::Value;

/// A compact JWS of any header and any claims, with the signature that this seed's key makes.
pub(crate) fn jws(header: &Value, claims: &Value, seed: &Secret<32>) -> Result<Compact> {
    let signed = format!("{}.{}", base64(header), base64(claims));
    let key = Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok().context("no seed")?;
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    Ok(Compact::new(format!("{signed}.{signature}")))
}

/// The same token with its header or claims changed, and the signature that was there.
pub(crate) fn altered(token: &Compact, header: &Value, claims: &Value) -> Result<Compact> {
    let (_, signature) = token.as_str().rsplit_once('.').context("no token")?;
    Ok(Compact::new(format!("{}.{}.{signature}", base64(header), base64(claims))))
}

/// Header and claims of a token.
pub(crate) fn parts(token: &Compact) -> Result<(Value, Value)> {
    let mut parts = token.as_str().split('.').map(|part| -> Result<Value> {
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
    });
    let header = parts.next().context("no header")??;
    Ok((header, parts.next().context("no claims")??))
}

/// `value` with `change` made to it.
pub(crate) fn with(value: &Value, name: &str, change: impl Into<Value>) -> Value {
    let mut changed = value.clone();
    if let Some(all) = changed.as_object_mut() {
        all.insert(name.to_owned(), change.into());
    }
    changed
}

/// `value` without a name.
pub(crate) fn without(value: &Value, name: &str) -> Value {
    let mut changed = value.clone();
    if let Some(all) = changed.as_object_mut() {
        all.remove(name);
    }
    changed
}

fn base64(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
