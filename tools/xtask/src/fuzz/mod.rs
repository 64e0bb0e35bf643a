//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/` and says what came of it.
//!
//! What a run finds is kept in `fuzz/target/grown`, out of the repository; `--minimize` puts a smallest set of inputs that
//! covers as much into `fuzz/corpus`, which tests replay. See docs/fuzzing.md.

mod run;
mod statistics;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use statistics::Statistics;

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these targets; all of them when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Then put what covers most in least room into fuzz/corpus
    #[arg(long)]
    minimize: bool,
    /// What libFuzzer is built with: none, or address (slower; finds errors of memory in C code, too)
    #[arg(long, value_name = "SANITIZER", default_value = "none")]
    sanitizer: String,
}

/// Runs the targets one after the other; whether none failed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    installed()?;
    let all = targets()?;
    for target in &arguments.targets {
        ensure!(all.contains(target), "there is no target {target}; there are {}", all.join(", "));
    }
    let wanted = if arguments.targets.is_empty() { &all } else { &arguments.targets };
    build(&arguments.sanitizer)?;
    let mut whole = true;
    say(Statistics::HEADING)?;
    for target in wanted {
        let ended = run::fuzz(target, arguments.minutes)?;
        say(&ended.statistics.row(target))?;
        if let Some(input) = ended.failed {
            crate::complain(&format!("{target} fails on {}:\n{}", input.display(), ended.said));
            whole = false;
        } else if arguments.minimize {
            run::minimize(target)?;
        }
    }
    Ok(whole)
}

/// cargo-fuzz must be there.
fn installed() -> Result<()> {
    let mut version = Command::new("cargo");
    version.args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        bail!("cargo-fuzz isn't installed: cargo install cargo-fuzz --locked");
    }
    Ok(())
}

/// Builds every target with libFuzzer's instrumentation, which the compiler gives to nightly toolchains, and to this one
/// when asked by that variable. What is tested is otherwise what is shipped: no `cfg(fuzzing)`.
fn build(sanitizer: &str) -> Result<()> {
    let built = Command::new("cargo")
        .args(["fuzz", "build", "--no-cfg-fuzzing", "--sanitizer", sanitizer])
        .env("RUSTC_BOOTSTRAP", "1")
        .status()
        .context("cargo fuzz can't be started")?;
    ensure!(built.success(), "the targets can't be built");
    Ok(())
}

/// Every target's name.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(home().join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The directory `fuzz`.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn say(line: &str) -> Result<()> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
