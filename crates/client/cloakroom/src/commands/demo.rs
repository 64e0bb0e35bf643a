//! `cloakroom demo` and `cloakroom bench`: find (in a checkout, build) the other programs and hand over to `cloakroom-lab` or
//! `cloakroom-bench`.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::arguments::{Bench, Demo, Global};
use crate::output::{Failure, note};

pub(crate) fn run(global: &Global, options: &Demo) -> Result<(), Failure> {
    let mut arguments: Vec<&OsStr> = vec!["demo".as_ref()];
    let Demo { users, ports, lifecycle, keep, stop, dir } = options;
    let users = users.to_string();
    let more: &[&str] = match (dir, keep, stop) {
        (Some(_), true, _) => &["--keep", "--ports", ports, "--dir"],
        (Some(_), _, true) => &["--stop", "--dir"],
        (None, ..) if *lifecycle => &["--lifecycle", "--ports", ports],
        (None, ..) => &["--users", &users, "--ports", ports],
        (Some(_), ..) => return Err(Failure::usage("--dir goes with --keep or --stop")),
    };
    arguments.extend(more.iter().map(OsStr::new));
    arguments.extend(dir.as_ref().map(|dir| dir.as_os_str()));
    hand_over(global, "cloakroom-lab", &arguments)
}

pub(crate) fn bench(global: &Global, options: &Bench) -> Result<(), Failure> {
    let seconds = options.seconds.to_string();
    let arguments = [&options.what, "--seconds", &seconds].map(OsStr::new);
    hand_over(global, "cloakroom-bench", &arguments)
}

fn hand_over(global: &Global, program: &str, arguments: &[&OsStr]) -> Result<(), Failure> {
    let path = programs()?.join(program);
    if !path.is_file() {
        return Err(Failure::usage(format!(
            "{} is missing; in a checkout: cargo run --release -- {}",
            path.display(),
            arguments.first().unwrap_or(&OsStr::new("demo")).display(),
        )));
    }
    let mut command = Command::new(path);
    command.args(arguments);
    if global.json {
        command.arg("--json");
    }
    // Only comes back when it fails.
    let error = anyhow::Error::from(command.exec());
    Err(Failure::untried(&error.context(format!("{program} can't be started"))))
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
