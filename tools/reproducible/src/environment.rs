//! What a build may learn from the environment of whoever starts it: where tools and registries are, and nothing that says how to compile.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Variables that are passed on.
const PASSED: [&str; 13] = [
    "ALL_PROXY",
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
];
/// Those that begin like this are passed on, too: how cargo downloads and shows its progress.
const PASSED_FAMILIES: [&str; 5] =
    ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_TERM_"];

/// A program that starts with those variables alone.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_passed(name)));
    command
}

/// Where cargo keeps the sources of what it downloads.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(std::path::absolute(home)?);
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}

fn is_passed(name: &OsStr) -> bool {
    // The variables of proxies are written in small letters, too.
    let name = name.to_string_lossy().to_ascii_uppercase();
    PASSED.contains(&name.as_str()) || PASSED_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_flags_and_compilers_are_not_taken_over() {
        let meddlers = [
            "AWS_LC_SYS_CFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            "CC",
            "CFLAGS_x86_64_unknown_linux_gnu",
            "CPATH",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
        ];
        for name in meddlers {
            assert!(!is_passed(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "CARGO_NET_OFFLINE", "https_proxy"] {
            assert!(is_passed(OsStr::new(name)), "{name}");
        }
    }
}
