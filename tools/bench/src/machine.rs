//! The machine: what it is, how much of its time a process has used, and OpenSSL's own measurement on it.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::Serialize;

/// What figures depend on.
#[derive(Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    /// The instructions among those that matter here.
    pub(crate) features: Vec<String>,
    pub(crate) cores: usize,
}

/// Something that must be installed.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) &'static str);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Missing {}

/// Linux's words for instructions that speed up big numbers, hashes and ciphers.
const FEATURES: [&str; 7] = ["adx", "aes", "avx2", "avx512ifma", "bmi2", "sha_ni", "vaes"];

/// Describes this machine.
pub(crate) fn describe() -> Result<Machine> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
    };
    let flags: Vec<&str> = field("flags").split(' ').collect();
    let features = FEATURES.iter().filter(|name| flags.contains(name));
    Ok(Machine {
        cpu: field("model name").to_owned(),
        features: features.map(|name| (*name).to_owned()).collect(),
        cores: std::thread::available_parallelism()?.get(),
    })
}

/// The CPU time of this thread.
pub(crate) fn of_thread() -> Result<Duration> {
    used(UsageWho::RUSAGE_THREAD)
}

/// The CPU time of this process.
pub(crate) fn of_process() -> Result<Duration> {
    used(UsageWho::RUSAGE_SELF)
}

/// The CPU time of another process, in the system's ticks: to the hundredth of a second.
pub(crate) fn of_other(process: u32) -> Result<Duration> {
    const TICKS_A_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in parentheses, with whatever in it. User time and system time are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ").context("an unknown form of /proc/PID/stat")?;
    let fields = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = fields.sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
}

fn used(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who)?;
    let time = |value: TimeVal| {
        Duration::from_micros((value.tv_sec() * 1_000_000 + value.tv_usec()).unsigned_abs())
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// RSA-2048 private operations for each second of CPU time, as `openssl speed rsa2048` measures them in one second.
pub(crate) fn openssl_rsa() -> Result<f64> {
    let output = Command::new("openssl")
        .args(["speed", "-seconds", "1", "-mr", "rsa2048"])
        .stdin(Stdio::null())
        .output()
        .context(Missing(
            "the program openssl is needed for comparison (Debian: apt-get install openssl)",
        ))?;
    // "+F2:2:2048:<signatures a second>:<verifications a second>"
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("+F2:"));
    let rate = line.and_then(|line| line.split(':').nth(2)).and_then(|rate| rate.parse().ok());
    rate.filter(|rate| *rate > 0.0).with_context(|| format!("openssl speed said: {text}"))
}

/// The mean of some measurements.
pub(crate) fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len() as f64
}
