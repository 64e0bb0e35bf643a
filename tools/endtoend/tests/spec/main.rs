//! `docs/spec/examples.json`: an example of each format, made anew from its inputs and compared.
//!
//! Everything here is fixed: keys, seeds, times and what would be random. The file is for people who write
//! other software; the test keeps it true.

mod backup;
mod sealed;
mod signed;
mod tokens;

use std::error::Error;
use std::path::PathBuf;

use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn checkout(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

#[test]
fn the_examples_are_what_the_code_does() -> Outcome<()> {
    let drawn = tokens::Drawn::example()?;
    let made = json!({
        "note": "Made from fixed inputs; bytes are hexadecimal, tokens their text. The RSA key is RFC 9578's (appendix B.2).",
        "token": drawn.describe(),
        "epoch_keys": tokens::tree(&drawn)?,
        "jwt": signed::examples(&drawn)?,
        "enclave": sealed::examples(&drawn)?,
        "backup": backup::examples()?,
    });
    let file = checkout("docs/spec/examples.json");
    let committed: Value = std::fs::read(&file)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or(Value::Null);
    if committed != made {
        let fresh = checkout("target/spec-examples.json");
        std::fs::write(&fresh, serde_json::to_string_pretty(&made)? + "\n")?;
        panic!(
            "{} differs from what the code does now, which is in {}",
            file.display(),
            fresh.display()
        );
    }
    Ok(())
}
