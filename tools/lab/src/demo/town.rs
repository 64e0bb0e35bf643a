//! Every service of a provider, each in a process of its own with its own directory, keys and log.

mod instances;
mod operators;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::ports::{Addresses, Ports};
use super::process::{Process, run};
use super::web::WebServer;
use super::wire::{self, Lie, Passed};
use super::{Binaries, http};
use crate::knowledge::Party;

/// How long a service may take to come up.
const START: Duration = Duration::from_secs(120);
/// The issuer's name and the origin that tokens are for.
const ISSUER_NAME: &str = "issuer.demo.cloakroom.example";
const ORIGIN: &str = "dip.demo.cloakroom.example";
/// The pool: 254 addresses of the loopback network.
pub(crate) const POOL: &str = "127.77.0.0/24";
/// The pool's region.
pub const REGION: &str = "demo";
/// Where the DIP service takes tokens.
const ASSIGN: &str = "/api/v1/assign";
/// How many weekly and daily keys the demo's trees commit to.
const WEEKS: &str = "3";
const DAYS: &str = "3";

/// The services that are started and asked by HTTP, in this order.
const SERVICES: [&str; 6] = ["parent", "accounts", "issuer", "dip", "gateway", "backup"];

/// Where a town is, and how.
pub struct Zone {
    /// The directory that everything is under.
    pub root: PathBuf,
    /// Which ports its services take.
    pub ports: Ports,
    /// Whether the services are the audit's, with taps.
    pub tapped: bool,
}

/// The services of one provider.
pub struct Town {
    binaries: Binaries,
    zone: Zone,
    addresses: Addresses,
    /// Where others find them: the same, or wires before them.
    doors: Addresses,
    web: WebServer,
    pool: String,
    rate_factor: u16,
    running: BTreeMap<&'static str, Process>,
    /// Where processes that are to stay write their notes.
    notes: Option<PathBuf>,
    /// Who stands between others and the parent, and between the parent and the enclave.
    detour: Option<(SocketAddr, PathBuf)>,
    /// Services that keep their rows in databases of a server.
    databases: BTreeMap<&'static str, String>,
    /// Further instances of services.
    others: Vec<(&'static str, Process)>,
}

impl Town {
    /// Makes keys, pool and configuration; nothing runs yet.
    ///
    /// # Errors
    /// When a program fails.
    pub fn found(binaries: &Binaries, zone: Zone) -> Result<Self> {
        for (_, party) in PARTIES {
            std::fs::create_dir_all(zone.root.join(party).join("state"))?;
        }
        let addresses = Addresses::choose(zone.ports)?;
        let town = Self {
            binaries: binaries.clone(),
            doors: addresses.clone(),
            addresses,
            zone,
            web: WebServer::start()?,
            pool: POOL.to_owned(),
            rate_factor: 1,
            running: BTreeMap::new(),
            notes: None,
            detour: None,
            databases: BTreeMap::new(),
            others: Vec::new(),
        };
        let keygen = |purpose, count| {
            let arguments =
                ["keygen", "--purpose", purpose, "--first-epoch", "now", "--count", count];
            town.ask("issuer", &arguments)
        };
        keygen("dedicated-ip", WEEKS)?;
        keygen("access", DAYS)?;
        town.write("srt-keys.json", &town.ask("accounts", &["keys", "--json"])?)?;
        town.write("epoch-keys.json", &town.ask("issuer", &["keys", "export", "--json"])?)?;
        Ok(town)
    }

    /// The same town, whose processes get a session of their own each and write notes of themselves into `notes`.
    #[must_use]
    pub(crate) fn resident(self, notes: PathBuf) -> Self {
        Self { notes: Some(notes), ..self }
    }

    /// The same town, with a wire before each service on which `passed` is written down.
    pub(crate) fn wired(mut self, passed: &Passed, lie: Option<Lie>) -> Result<Self> {
        let Addresses { accounts, issuer, parent, dip, gateway, backup, .. } = &mut self.doors;
        for (door, party) in [
            (accounts, Party::Accounts),
            (issuer, Party::BlindTokenService),
            (parent, Party::EnclaveParent),
            (dip, Party::DipService),
            (gateway, Party::Gateway),
            (backup, Party::BackupService),
        ] {
            *door = wire::before(*door, party, passed, lie)?;
        }
        Ok(self)
    }

    /// Lets everything go on without this program.
    pub(crate) fn leave(mut self) {
        self.take_all().for_each(|(_, process)| process.leave());
    }

    /// Another pool than the usual one, of the loopback network, too. To be said before the town opens.
    #[must_use]
    pub fn with_pool(mut self, cidr: &str) -> Self {
        cidr.clone_into(&mut self.pool);
        self
    }

    /// So many times the usual rates of requests, 1,000 at most. To be said before the town opens.
    #[must_use]
    pub fn with_rate_factor(self, rate_factor: u16) -> Self {
        Self { rate_factor, ..self }
    }

    /// Starts everything and waits until it is up.
    ///
    /// # Errors
    /// When a service doesn't come up.
    pub fn open(mut self) -> Result<Self> {
        let boot = self.boot_configuration()?;
        self.write("boot.json", &boot)?;
        self.start_module()?;
        self.sign_provider(1, &[&boot])?;
        for service in SERVICES {
            self.start(service)?;
        }
        for service in SERVICES {
            self.wait_for(service)?;
        }
        self.fill_pool()?;
        Ok(self)
    }

    /// A boot configuration that believes all keys which the services publish now: present, next and former ones.
    ///
    /// # Errors
    /// When a program fails.
    pub fn boot_configuration(&self) -> Result<String> {
        let trees = self.trees()?;
        let tree = trees.iter().find(|tree| tree.get("purpose") == Some(&json!("dedicated-ip")));
        let boot = json!({
            "srt_keys": self.ask_json::<Value>("accounts", &["keys", "--json"])?,
            "issuance_keys": self.ask_json::<Value>("issuer", &["receipt-keys", "--json"])?,
            "order_keys": self.ask_json::<Value>("dip", &["order-keys", "--json"])?,
            "issuer_name": ISSUER_NAME,
            "origin": ORIGIN,
            "tree": tree.context("the issuer has no tree for dedicated IPs")?,
        });
        Ok(boot.to_string())
    }

    /// Gives the blind token service the keys that accounts publishes now.
    ///
    /// # Errors
    /// When a program fails.
    pub fn give_srt_keys(&self) -> Result<()> {
        self.write("srt-keys.json", &self.ask("accounts", &["keys", "--json"])?)
    }

    /// With which configuration the enclave is booted when it and its parent are started again.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn boot_with(&self, boot: &str) -> Result<()> {
        self.write("boot.json", boot)
    }

    /// Tells everything to stop, and waits: services drain.
    ///
    /// # Errors
    /// When one doesn't stop.
    pub fn close(&mut self) -> Result<()> {
        let running: Vec<_> = self.take_all().collect();
        // The enclave goes last: whoever needs it drains first.
        let (module, services): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|(name, _)| *name == "nsm");
        services.iter().for_each(|(_, process)| process.terminate());
        for (_, process) in services {
            process.wait()?;
        }
        for (_, process) in module {
            process.terminate();
            process.wait()?;
        }
        Ok(())
    }

    /// Ends everything at once, as a crash would.
    ///
    /// # Errors
    /// When a process can't be killed.
    pub fn crash(&mut self) -> Result<()> {
        self.take_all().try_for_each(|(_, process)| process.kill())
    }

    /// Everything that runs.
    fn take_all(&mut self) -> impl Iterator<Item = (&'static str, Process)> + use<> {
        std::mem::take(&mut self.others).into_iter().chain(std::mem::take(&mut self.running))
    }

    /// What the services show to whoever asks: their metrics.
    ///
    /// # Errors
    /// When one doesn't answer.
    pub fn shown(&self) -> Result<Vec<(Party, Vec<u8>)>> {
        let parties = PARTIES.iter().filter(|(_, service)| *service != "nsm");
        let metrics = |(party, service): &(Party, &'static str)| {
            Ok((*party, http::get(self.doors.of(service)?, "/metrics")?.1))
        };
        parties.map(metrics).collect()
    }

    /// What a thief takes of some services: state and logs, without what only the audit has. Each under a name that is the
    /// same in every run.
    #[must_use]
    pub fn side(&self, services: &[&'static str]) -> Vec<(String, PathBuf)> {
        let all = services.iter().flat_map(|service| {
            ["state", "log", "errors"]
                .map(|part| (format!("{service}/{part}"), self.zone.root.join(service).join(part)))
        });
        all.filter(|(_, path)| path.exists()).collect()
    }

    /// The programs that it runs.
    #[must_use]
    pub const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The program that runs as a service here: the released one, or the audit's.
    #[must_use]
    pub fn program(&self, service: &str) -> PathBuf {
        self.binaries.service(service, self.zone.tapped)
    }

    /// Where the web server is that tells everybody their own address.
    #[must_use]
    pub const fn web_address(&self) -> SocketAddr {
        self.web.address()
    }

    /// Where others find a service.
    pub(crate) fn door(&self, service: &str) -> Result<SocketAddr> {
        self.doors.of(service)
    }

    /// A service's base URL.
    ///
    /// # Errors
    /// For a name that is no service's.
    pub fn url(&self, service: &str) -> Result<String> {
        Ok(format!("http://{}", self.door(service)?))
    }

    /// A service's directory: `state`, `log`, `errors`, and what a tapped one records.
    #[must_use]
    pub fn home(&self, service: &str) -> PathBuf {
        self.zone.root.join(service)
    }

    /// What runs, and its process id.
    pub fn processes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let others = self.others.iter().map(|(name, process)| (*name, process.id()));
        self.running.iter().map(|(name, process)| (*name, process.id())).chain(others)
    }

    /// Ends one service at once, as a crash would.
    ///
    /// # Errors
    /// When it doesn't run, or can't be killed.
    pub fn kill(&mut self, service: &str) -> Result<()> {
        self.running.remove(service).context("a service that isn't running")?.kill()
    }

    /// Starts one service again, with all that it left, and waits until it is up. A tapped one begins a recording of its
    /// own.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn restart(&mut self, service: &'static str) -> Result<()> {
        self.launch(service)?;
        if service == "nsm" { Ok(()) } else { self.wait_for(service) }
    }

    /// The same without waiting until it is up: it may be meant not to come up.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn launch(&mut self, service: &'static str) -> Result<()> {
        if service == "nsm" {
            // A socket that a crash left says nothing of who listens now.
            std::fs::remove_file(self.socket())?;
            return self.start_module();
        }
        self.start(service)
    }

    /// From the next start on, whoever asks the enclave's parent goes by `parent`, and the parent to the enclave
    /// by the socket `enclave`: somebody may stand there and drop what goes by.
    pub fn detour(&mut self, parent: SocketAddr, enclave: PathBuf) {
        self.detour = Some((parent, enclave));
    }

    /// Where people's wallets go.
    pub(crate) fn homes(&self) -> PathBuf {
        self.zone.root.join("people")
    }

    /// The file that clients take in.
    #[must_use]
    pub fn provider(&self) -> PathBuf {
        self.zone.root.join("provider.json")
    }

    fn state(&self, service: &str) -> PathBuf {
        self.zone.root.join(service).join("state")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.zone.root.join(name), text)?)
    }

    fn path(&self, name: &str) -> Result<String> {
        Ok(as_text(&self.zone.root.join(name))?.to_owned())
    }

    /// The command of a process that serves.
    fn command(&self, service: &str, program: &Path) -> Command {
        let Some(notes) = &self.notes else { return Command::new(program) };
        let mut command = Command::new(self.binaries.lab());
        command.arg("resident").arg("--note").arg(notes.join(service)).arg("--").arg(program);
        command
    }

    /// What a token for a dedicated address has to answer at present, in base64url, as the DIP service demands it of whoever
    /// shows none (RFC 9577 section 2.1).
    pub(crate) fn challenge(&self) -> Result<String> {
        let answer = http::ask(self.doors.dip, "POST", ASSIGN)?;
        let demanded = answer.header("www-authenticate").context("no challenge was given")?;
        let (_, rest) = demanded.split_once("challenge=\"").context("no challenge was given")?;
        let (challenge, _) = rest.split_once('"').context("no challenge was given")?;
        // The header's is padded, as RFC 9577 has it; everything else here isn't.
        Ok(challenge.trim_end_matches('=').to_owned())
    }

    /// Starts the security module, which measures and starts the enclave.
    fn start_module(&mut self) -> Result<()> {
        let home = self.zone.root.join("nsm");
        let mut command = self.command("nsm", &self.binaries.service("nsm", false));
        command.arg("--enclave").arg(self.program("enclave"));
        command.arg("--listen").arg(self.socket()).arg("--state").arg(home.join("state"));
        if self.zone.tapped {
            command.arg("--ahead").arg(self.clock()).env("CLOAKROOM_AHEAD", self.clock());
        }
        // The enclave inherits the variable; the module itself has no tap.
        let recording = self.zone.tapped.then(|| super::next_recording(&home, "enclave-recording"));
        let mut module =
            Process::start("nsm", &mut command, home.join("errors"), recording.as_deref())?;
        let (root, socket) = (home.join("state/root.der"), self.socket());
        module.wait_until(START, || root.exists() && socket.exists())?;
        self.running.insert("nsm", module);
        Ok(())
    }

    /// The file that says by how many seconds the clocks of a town with taps are ahead: of its services, its security module, and of
    /// the client for rehearsals, when it is told so.
    #[must_use]
    pub fn clock(&self) -> PathBuf {
        self.zone.root.join("ahead")
    }

    /// Sets the clocks of a town with taps ahead by so much; without taps nothing heeds it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_ahead(&self, by: Duration) -> Result<()> {
        // Whole at any moment: the clocks are looked at all the time.
        let fresh = self.clock().with_extension("new");
        std::fs::write(&fresh, by.as_secs().to_string())?;
        Ok(std::fs::rename(fresh, self.clock())?)
    }

    /// The socket on which the enclave listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.zone.root.join("enclave.sock")
    }

    /// Starts one service; its directory, and so everything that it has, is as it left it.
    pub(crate) fn start(&mut self, service: &'static str) -> Result<()> {
        let home = self.zone.root.join(service);
        let mut command = self.serving(service, self.addresses.of(service)?, "log")?;
        let recording = self.zone.tapped.then(|| super::next_recording(&home, "recording"));
        let errors = home.join("errors");
        let process = Process::start(service, &mut command, errors, recording.as_deref())?;
        self.running.insert(service, process.logging(home.join("log")));
        Ok(())
    }

    /// The command by which a service listens at an address, and logs to a file in its directory.
    fn serving(&self, service: &str, listen: SocketAddr, log: &str) -> Result<Command> {
        let home = self.zone.root.join(service);
        let straight = || (self.doors.parent, self.socket());
        let (parent, enclave) = self.detour.clone().unwrap_or_else(straight);
        let parent = format!("http://{parent}");
        let mut command = self.command(service, &self.program(service));
        command.arg("--state").arg(home.join("state")).arg("serve");
        command.arg("--listen").arg(listen.to_string());
        command.arg("--log").arg(home.join(log));
        command.env("CLOAKROOM_RATE_FACTOR", self.rate_factor.to_string());
        // Whatever stands in the environment is somebody else's.
        command.env_remove("DATABASE_URL");
        command.envs(self.databases.get(service).map(|url| ("DATABASE_URL", url)));
        match service {
            "parent" => {
                command.arg("--enclave").arg(enclave);
                command.arg("--boot-configuration").arg(self.path("boot.json")?);
            }
            "issuer" => {
                command.args(["--issuer-name", ISSUER_NAME, "--srt-keys"]);
                command.arg(self.path("srt-keys.json")?);
            }
            "dip" => {
                command.arg("--provider").arg(self.provider()).args(["--enclave", &parent]);
            }
            "gateway" => {
                command.arg("--provider").arg(self.provider()).args(["--enclave", &parent]);
                command.args(["--serve", &self.pool, "--local", "--tunnel-listen"]);
                command.arg(self.addresses.tunnel.to_string());
            }
            _ => {}
        }
        if self.zone.tapped {
            command.env("CLOAKROOM_AHEAD", self.clock());
        }
        Ok(command)
    }

    /// Waits until a service says that it is healthy.
    pub(crate) fn wait_for(&mut self, service: &'static str) -> Result<()> {
        let address = self.addresses.of(service)?;
        let process = self.running.get_mut(service).context("a service that isn't running")?;
        let healthy = || http::get(address, "/health").is_ok_and(|(status, _)| status == 200);
        process.wait_until(START, healthy)
    }
}

/// Which service's directory belongs to which party. The security module stands for the enclave's hardware.
pub(crate) const PARTIES: [(Party, &str); 7] = [
    (Party::Accounts, "accounts"),
    (Party::BlindTokenService, "issuer"),
    (Party::DipService, "dip"),
    (Party::EnclaveParent, "parent"),
    (Party::Enclave, "nsm"),
    (Party::Gateway, "gateway"),
    (Party::BackupService, "backup"),
];

/// A path as text, as a command line takes it.
pub(crate) fn as_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not text", path.display()))
}
