//! Building the programs of an image so that place and time don't show in them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::kernel::read;
use crate::process::output;

/// Programs run on a kernel without a C library beside them, so theirs is linked in.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Variables that would change what is built; those that begin like this.
const MEDDLERS: [&str; 9] = [
    "AWS_LC_SYS_",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "RUSTFLAGS",
];

/// An image's programs.
#[derive(PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) init: Vec<u8>,
    pub(crate) enclave: Vec<u8>,
}

/// Builds the sources in `source` with `target` for all files on the way. Both paths are absolute.
pub(crate) fn build(source: &Path, target: &Path) -> Result<Programs> {
    let cargo_home = cargo_home()?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if meddles(&name) {
            command.env_remove(name);
        }
    }
    // Where something is, as (prefix, what stands for it); the innermost directory comes last and wins.
    let places = [(cargo_home.as_path(), "/cargo"), (source, "/source"), (target, "/target")];
    let places = places.map(|(path, name)| format!("{}={name}", path.display()));
    let mut rust = vec!["-Ctarget-feature=+crt-static".to_owned(), "-Cstrip=symbols".to_owned()];
    rust.extend(places.iter().map(|place| format!("--remap-path-prefix={place}")));
    let c = places.map(|place| format!("-ffile-prefix-map={place}")).join(" ");
    command
        .current_dir(source)
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"))
        .env("CFLAGS", c)
        .env("SOURCE_DATE_EPOCH", "0")
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(target)
        .args(["--package", "enclave", "--bin", "cloakroom-enclave"])
        .args(["--package", "init", "--bin", "cloakroom-init"]);
    let status = command.status().context("cargo can't be started")?;
    ensure!(status.success(), "the image's programs could not be built");
    let made = target.join(TARGET).join("release");
    Ok(Programs {
        init: read(&made.join("cloakroom-init"))?,
        enclave: read(&made.join("cloakroom-enclave"))?,
    })
}

/// Copies what git knows of `source`, and what it would take in, to `to`.
pub(crate) fn copy_sources(source: &Path, to: &Path) -> Result<()> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = output(Command::new("git").arg("-C").arg(source).args(arguments))?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (source.join(name), to.join(name));
        // Git still knows what was just deleted.
        if !from.exists() {
            continue;
        }
        std::fs::create_dir_all(to.parent().context("a file without a directory")?)?;
        std::fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
    }
    Ok(())
}

/// What the programs are built with: other versions may give other bytes.
pub(crate) fn tools() -> Result<[String; 2]> {
    let rustc = output(Command::new("rustc").arg("--version"))?;
    let cc = output(Command::new("cc").arg("--version"))?;
    Ok([rustc, cc.lines().next().unwrap_or_default().to_owned()])
}

fn meddles(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    MEDDLERS.iter().any(|meddler| name.starts_with(meddler)) || name.starts_with("TARGET_CFLAGS")
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME")?)
        .join(".cargo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_flags_are_not_taken_over() {
        for name in ["RUSTFLAGS", "CFLAGS_x86_64_unknown_linux_gnu", "CARGO_PROFILE_RELEASE_LTO"] {
            assert!(meddles(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "CARGO_BUILD_JOBS", "CARGO_NET_OFFLINE"] {
            assert!(!meddles(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn all_files_that_git_would_keep_are_copied_and_no_others() {
        let room = tempfile::tempdir().unwrap();
        let (from, to) = (room.path().join("from"), room.path().join("to"));
        std::fs::create_dir_all(from.join("deep")).unwrap();
        for (name, text) in
            [("kept", "1"), ("deep/new", "2"), ("made", "3"), (".gitignore", "made\n")]
        {
            std::fs::write(from.join(name), text).unwrap();
        }
        output(Command::new("git").arg("-C").arg(&from).args(["init", "--quiet"])).unwrap();
        copy_sources(&from, &to).unwrap();
        assert_eq!(std::fs::read(to.join("kept")).unwrap(), b"1");
        assert_eq!(std::fs::read(to.join("deep/new")).unwrap(), b"2");
        assert!(!to.join("made").exists());
    }
}
