//! `cloakroom demo`: finds (in a checkout, builds) the other programs and hands over to `cloakroom-lab`.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::arguments::{Demo, Global};
use crate::output::{Failure, note};

pub(crate) fn run(global: &Global, options: &Demo) -> Result<(), Failure> {
    let lab = programs()?.join("cloakroom-lab");
    if !lab.is_file() {
        return Err(Failure::usage(format!(
            "{} is missing; in a checkout: cargo run --release -- demo",
            lab.display()
        )));
    }
    let mut command = Command::new(lab);
    command.arg("demo");
    let Demo { users, ports, keep, stop, dir } = options;
    match (dir, keep, stop) {
        (Some(dir), true, _) => command.args(["--keep", "--ports", ports, "--dir"]).arg(dir),
        (Some(dir), _, true) => command.args(["--stop", "--dir"]).arg(dir),
        (None, ..) => command.args(["--users", &users.to_string(), "--ports", ports]),
        (Some(_), ..) => return Err(Failure::usage("--dir goes with --keep or --stop")),
    };
    if global.json {
        command.arg("--json");
    }
    // Only comes back when it fails.
    let error = anyhow::Error::from(command.exec());
    Err(Failure::untried(&error.context("the demo can't be started")))
}

/// Where the programs are: beside this one when installed; inside a checkout, when cargo runs this program, in the
/// release directory, after building them.
fn programs() -> Result<PathBuf, Failure> {
    let this = std::env::current_exe().map_err(anyhow::Error::from)?;
    let beside = this.parent().context("the program has no directory")?;
    let cargo = std::env::var_os("CARGO").map(PathBuf::from);
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let Some((cargo, package)) = cargo.zip(package) else { return Ok(beside.to_owned()) };
    note("building the services: cargo build --release --locked --workspace --bins");
    build(&cargo, &package)?;
    Ok(beside.parent().map_or_else(|| beside.to_owned(), |target| target.join("release")))
}

/// Builds every program of the workspace that `package` belongs to; cargo shows its own progress.
fn build(cargo: &Path, package: &Path) -> anyhow::Result<()> {
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--workspace", "--bins"])
        .current_dir(package)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cargo can't be started")?;
    ensure!(status.success(), "the services could not be built");
    Ok(())
}
