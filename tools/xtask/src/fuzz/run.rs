//! One target's run, and what is kept of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::home;
use super::statistics::Statistics;
use crate::programs;

/// The longest input that is tried, in bytes.
const LONGEST: u32 = 20_000;
/// The longest input that is kept in the repository, in bytes: a request of full size fits.
const LONGEST_KEPT: u32 = 9_000;
/// How much of one target's corpus is kept in the repository, in bytes, its seeds aside.
const ROOM: u64 = 90 << 10;
/// How long one input may take, in seconds.
const PATIENCE: u32 = 60;

/// How a run ended.
pub(super) struct Ended {
    /// What was done.
    pub(super) statistics: Statistics,
    /// The input on which the target failed.
    pub(super) failed: Option<PathBuf>,
    /// The end of what libFuzzer said.
    pub(super) said: String,
}

/// Runs a target from the repository's corpus and what earlier runs found.
pub(super) fn fuzz(target: &str, minutes: u32) -> Result<Ended> {
    let (corpus, grown, crashes) =
        (home().join("corpus").join(target), grown(target), found(target));
    for directory in [&corpus, &grown, &crashes] {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let (inputs, failures) = (count(&grown)?, files(&crashes)?);
    let mut prefix = crashes.clone().into_os_string();
    prefix.push("/");
    let mut command = program(target)?;
    command
        .arg(format!("-max_total_time={}", u64::from(minutes) * 60))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-timeout={PATIENCE}"))
        .arg(format!(
            "-dict={}",
            home().join("dictionaries").join(format!("{target}.dict")).display()
        ))
        .arg(format!("-artifact_prefix={}", Path::new(&prefix).display()))
        .args(["-print_final_stats=1", "-use_value_profile=1", "-reload=0"])
        .args([&grown, &corpus]);
    let before = Statistics::children_seconds();
    let output = command.output().with_context(|| format!("{target} can't be started"))?;
    let cpu = Statistics::children_seconds() - before;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut statistics = Statistics::read(&said);
    statistics.cpu_seconds = cpu;
    statistics.new = count(&grown)?.saturating_sub(inputs);
    let failed = files(&crashes)?.into_iter().find(|path| !failures.contains(path));
    let failed = (!output.status.success()).then(|| failed.unwrap_or(crashes));
    Ok(Ended { statistics, failed, said: tail(&said) })
}

/// Puts a smallest set that passes the same edges as all that was found into the repository's corpus: as much as there is
/// [`ROOM`] for, the shortest inputs first. The seeds come back, too.
pub(super) fn minimize(target: &str) -> Result<()> {
    let corpus = home().join("corpus").join(target);
    let fresh = home().join("target/minimized").join(target);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let merged = program(target)?
        .args([
            "-merge=1".into(),
            "-use_counters=0".into(),
            format!("-max_len={LONGEST_KEPT}"),
            format!("-timeout={PATIENCE}"),
        ])
        .args([&fresh, &corpus, &grown(target)])
        .output()
        .with_context(|| format!("{target} can't be started"))?;
    let said = tail(&String::from_utf8_lossy(&merged.stderr));
    ensure!(merged.status.success() && count(&fresh)? > 0, "{target} can't be minimized:\n{said}");
    for input in files(&corpus)? {
        fs::remove_file(input)?;
    }
    let mut kept: Vec<(u64, PathBuf)> = Vec::new();
    for input in files(&fresh)? {
        kept.push((fs::metadata(&input)?.len(), input));
    }
    kept.sort();
    let mut room = ROOM;
    for (length, input) in kept {
        let Some(left) = room.checked_sub(length) else { break };
        room = left;
        let name = input.file_name().context("an input has a name")?;
        fs::copy(&input, corpus.join(name))?;
    }
    programs::cargo(&[
        "run",
        "--release",
        "--quiet",
        "--package",
        "decoders",
        "--",
        "seeds",
        target,
    ])
}

/// The instrumented program of a target.
fn program(target: &str) -> Result<Command> {
    for entry in fs::read_dir(home().join("target"))? {
        let path = entry?.path().join("release").join(target);
        if path.is_file() {
            return Ok(Command::new(path));
        }
    }
    anyhow::bail!("{target} was not built")
}

fn grown(target: &str) -> PathBuf {
    home().join("target/grown").join(target)
}

/// Where inputs go on which a target fails; those that are understood move to `fuzz/crashes`.
fn found(target: &str) -> PathBuf {
    home().join("artifacts").join(target)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    Ok(files)
}

fn count(directory: &Path) -> Result<u64> {
    Ok(u64::try_from(files(directory)?.len())?)
}

/// The last lines.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
}
