//! A provider that stays: `--keep` leaves every service running in a directory, `--stop` ends what was left.
//!
//! ```text
//! DIR/.cloakroom-demo    says that the directory is a demo's; locked while somebody keeps or stops
//! DIR/running/NAME       a note of each process, by which it is recognised later
//! DIR/demo.json          what scripts need, there once everything is healthy
//! DIR/provider.json      what clients take in
//! DIR/SERVICE/           state, log and errors of each service
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::process::text;
use super::resident::Resident;
use super::{Binaries, Person, Ports, Town, Zone, http};

/// How long services may take to drain and stop before they are killed.
const PATIENCE: Duration = Duration::from_secs(20);
/// What marks a directory as a demo's.
const MARK: &str = ".cloakroom-demo";
const NOTES: &str = "running";
const RESULT: &str = "demo.json";
/// Everything else that a demo puts into its directory.
const LEFT: [&str; 16] = [
    "demo.json.new",
    "accounts",
    "issuer",
    "nsm",
    "parent",
    "dip",
    "gateway",
    "backup",
    "people",
    "enclave.sock",
    "boot.json",
    "srt-keys.json",
    "epoch-keys.json",
    "provider-draft.json",
    "provider.json",
    "provider.key",
];
/// The processes by the name of their notes, and by that of the party they are. The module comes last: whoever needs it
/// drains first.
const PROCESSES: [(&str, &str); 7] = [
    ("accounts", "accounts"),
    ("issuer", "blind_token_service"),
    ("dip", "dip_service"),
    ("gateway", "gateway"),
    ("backup", "backup_service"),
    ("parent", "enclave_parent"),
    ("nsm", "security_module"),
];
/// The longest path that a Unix socket may have (sun_path less its end).
const LONGEST_SOCKET: usize = 107;

/// Why something couldn't even be tried: what was asked for doesn't fit what is there.
#[derive(Debug)]
pub struct Untried(String);

impl std::fmt::Display for Untried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Untried {}

fn untried<T>(why: String) -> Result<T> {
    Err(Untried(why).into())
}

/// How a provider is kept.
pub struct KeepOptions<'a> {
    /// All programs.
    pub binaries: &'a Binaries,
    /// Where: a directory that isn't there yet, is empty, or was a demo's.
    pub directory: &'a Path,
    /// Which ports.
    pub ports: Ports,
    /// Hears progress, a line at a time.
    pub progress: &'a dyn Fn(&str),
    /// Whether it was told to stop: it does before the next step, and leaves nothing.
    pub interrupted: &'a AtomicBool,
}

/// What scripts need of a provider that stays: `DIR/demo.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The directory.
    pub dir: PathBuf,
    /// Base URLs: `accounts`, `blind_token_service`, `enclave` (its parent), `dip_service`, `gateway`, `backup_service`.
    pub urls: BTreeMap<String, String>,
    /// Process ids, by party.
    pub pids: BTreeMap<String, i32>,
    /// The roots of the key trees in hexadecimal, by purpose.
    pub roots: BTreeMap<String, String>,
    /// What a token has to answer at present, by purpose: an RFC 9577 `TokenChallenge` in base64url.
    pub challenge: BTreeMap<String, String>,
    /// The file that clients take in.
    pub provider: PathBuf,
    /// The region of the addresses.
    pub region: String,
    /// An account that nobody has used, for a client that isn't Cloakroom's own.
    pub spare: Spare,
}

/// An account that nobody has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spare {
    /// Its number.
    pub account: String,
    /// A fresh subscription receipt: good for one token of each purpose, for three days at most.
    pub srt: String,
}

/// What [`stop`] ended.
#[derive(Clone, Debug, Serialize)]
pub struct Stopped {
    /// The directory.
    pub dir: PathBuf,
    /// The parties whose processes ran until now.
    pub stopped: Vec<&'static str>,
}

/// Starts a provider in a directory and leaves it running, each process in a session of its own. Where one runs already
/// and is healthy, nothing happens, and the result is that one's.
///
/// # Errors
/// [`Untried`] when the directory is somebody else's or half of a demo runs there; else what failed. Then nothing is left.
pub fn keep(options: &KeepOptions<'_>) -> Result<Kept> {
    let fresh = !options.directory.exists();
    if fresh {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(options.directory);
        made.with_context(|| options.directory.display().to_string())?;
    }
    let claimed = Directory::claim(options.directory);
    if claimed.is_err() && fresh {
        fs::remove_dir(options.directory)?;
    }
    let directory = claimed?;
    let running = directory.running()?;
    if !running.is_empty() {
        return directory.healthy(&running).or_else(|error| {
            let dir = directory.path.display();
            untried(format!(
                "a demo runs in {dir} already and isn't healthy ({error:#}); end it: cloakroom demo --stop --dir {dir}"
            ))
        });
    }
    let begun = directory.clear().and_then(|()| directory.begin(options));
    begun.map_err(|error| match directory.vacate(fresh) {
        Ok(()) => error,
        Err(left) => error.context(format!("and something is left: {left:#}")),
    })
}

/// Ends what [`keep`] left running in a directory, and waits until it is gone. Logs and state stay for whoever wants to
/// look at them. Where nothing runs any more nothing happens.
///
/// # Errors
/// [`Untried`] when the directory isn't a demo's; else when a process can't be ended.
pub fn stop(directory: &Path) -> Result<Stopped> {
    if !directory.join(MARK).is_file() {
        return untried(format!("{} holds no demo", directory.display()));
    }
    let directory = Directory::claim(directory)?;
    let mut running = directory.running()?;
    let stopped = running.keys().copied().collect();
    let module = running.remove("security_module");
    let enclave = module.as_ref().and_then(Resident::child);
    Resident::end(&running.into_values().collect::<Vec<_>>(), PATIENCE)?;
    // The enclave ends with its module, which is told first; whatever is left of either is told once more.
    Resident::end(&module.into_iter().collect::<Vec<_>>(), PATIENCE)?;
    Resident::end(&enclave.into_iter().collect::<Vec<_>>(), PATIENCE)?;
    directory.await_enclave()?;
    for name in [NOTES, RESULT, "enclave.sock"] {
        directory.remove(name)?;
    }
    Ok(Stopped { dir: directory.path.clone(), stopped })
}

/// A demo's directory, which nobody else keeps or stops meanwhile.
struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    fn claim(path: &Path) -> Result<Self> {
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        let mark = path.join(MARK);
        if !path.is_dir() || (!mark.exists() && fs::read_dir(&path)?.next().is_some()) {
            return untried(format!("{} is neither empty nor a demo's", path.display()));
        }
        if path.join("enclave.sock").as_os_str().len() > LONGEST_SOCKET {
            return untried(format!("{} is too long a path for a socket in it", path.display()));
        }
        let options =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
        let lock = options.open(&mark).with_context(|| mark.display().to_string())?;
        if lock.try_lock().is_err() {
            return untried(format!("somebody else starts or stops {} just now", path.display()));
        }
        Ok(Self { path, _lock: lock })
    }

    /// Who runs, by party.
    fn running(&self) -> Result<BTreeMap<&'static str, Resident>> {
        let mut running = BTreeMap::new();
        for (note, party) in PROCESSES {
            let note = self.path.join(NOTES).join(note);
            if note.exists() {
                let resident = Resident::noted(&note)?;
                if resident.runs() {
                    running.insert(party, resident);
                }
            }
        }
        Ok(running)
    }

    /// The result of the one who kept, if everything is as it was.
    fn healthy(&self, running: &BTreeMap<&'static str, Resident>) -> Result<Kept> {
        let kept: Kept = serde_json::from_slice(&fs::read(self.path.join(RESULT))?)?;
        for (_, party) in PROCESSES {
            ensure!(running.contains_key(party), "{party} doesn't run");
        }
        for (party, url) in &kept.urls {
            let address: SocketAddr = url.trim_start_matches("http://").parse()?;
            let healthy = http::get(address, "/health").is_ok_and(|(status, _)| status == 200);
            ensure!(healthy, "{party} doesn't answer");
        }
        Ok(kept)
    }

    /// Removes what an earlier demo left here.
    fn clear(&self) -> Result<()> {
        LEFT.into_iter().chain([NOTES, RESULT]).try_for_each(|name| self.remove(name))
    }

    /// Leaves nothing of a start that failed. What was started ended with the failure; the enclave follows its module.
    fn vacate(&self, fresh: bool) -> Result<()> {
        self.await_enclave()?;
        self.clear()?;
        self.remove(MARK)?;
        if fresh {
            fs::remove_dir(&self.path)?;
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => Ok(()),
        };
        removed.with_context(|| format!("removing {}", path.display()))
    }

    /// Founds, opens and leaves a provider.
    fn begin(&self, options: &KeepOptions<'_>) -> Result<Kept> {
        let step = |name: &str| {
            ensure!(!options.interrupted.load(Ordering::SeqCst), "interrupted");
            (options.progress)(name);
            Ok(())
        };
        let notes = self.path.join(NOTES);
        fs::create_dir(&notes)?;
        step("keys, pool and configuration")?;
        let zone = Zone { root: self.path.clone(), ports: options.ports, tapped: false };
        let town = Town::found(options.binaries, zone)?.resident(notes);
        step("services")?;
        let town = town.open()?;
        step("an account to spare")?;
        let kept = self.describe(&town)?;
        let json = serde_json::to_vec_pretty(&kept)?;
        step("healthy")?;
        let unfinished = self.path.join("demo.json.new");
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(&json)?;
        fs::rename(&unfinished, self.path.join(RESULT))?;
        town.leave();
        Ok(kept)
    }

    fn describe(&self, town: &Town) -> Result<Kept> {
        let names = [
            ("accounts", "accounts"),
            ("blind_token_service", "issuer"),
            ("enclave", "parent"),
            ("dip_service", "dip"),
            ("gateway", "gateway"),
            ("backup_service", "backup"),
        ];
        let urls = names.iter().map(|(name, service)| Ok(((*name).to_owned(), town.url(service)?)));
        let trees: Vec<Value> = town.ask_json("issuer", &["trees", "--json"])?;
        let root =
            |tree: &Value| Ok((text(tree, &["purpose"])?.into(), text(tree, &["root"])?.into()));
        let running = self.running()?;
        let mut pids: BTreeMap<String, i32> =
            running.iter().map(|(party, one)| ((*party).to_owned(), one.pid)).collect();
        let module = running.get("security_module").context("the security module is gone")?;
        let enclave = module.child().context("the enclave is gone")?;
        pids.insert("enclave".to_owned(), enclave.pid);
        Ok(Kept {
            dir: self.path.clone(),
            urls: urls.collect::<Result<_>>()?,
            pids,
            roots: trees.iter().map(root).collect::<Result<_>>()?,
            challenge: [("dedicated-ip".to_owned(), town.challenge()?)].into(),
            provider: town.provider(),
            region: super::town::REGION.to_owned(),
            spare: spare(town)?,
        })
    }

    /// Waits until no process has this directory's socket among its arguments: the enclave, which ends when its module is
    /// gone.
    fn await_enclave(&self) -> Result<()> {
        let socket = self.path.join("enclave.sock");
        let socket = socket.as_os_str().as_encoded_bytes();
        let deadline = std::time::Instant::now() + PATIENCE;
        while serves(socket) {
            if std::time::Instant::now() > deadline {
                bail!("the enclave of {} doesn't end", self.path.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Whether some process was given this socket as an argument.
fn serves(socket: &[u8]) -> bool {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.split(|&byte| byte == 0).any(|argument| argument == socket))
}

/// An account with a receipt, taken by Cloakroom's own client, whose wallet is forgotten.
fn spare(town: &Town) -> Result<Spare> {
    let mut person = Person::new(town, 0)?;
    person.trust()?;
    person.login()?;
    let wallet: Value = serde_json::from_slice(&fs::read(person.home().join("wallet.json"))?)?;
    let spare = Spare {
        account: person.account().to_owned(),
        srt: text(&wallet, &["srt", "srt"])?.to_owned(),
    };
    fs::remove_dir_all(town.homes())?;
    Ok(spare)
}
