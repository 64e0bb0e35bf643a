//! A blind token service of the bench's own: the real program with a real database, and subscriptions without accounts.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use coarse::{Clock as _, Secret, SystemClock, system_rng};
use epoch_keys::PublishedKey;
use jws::{Compact, KeySet, SigningKey};
use lab::Binaries;
use receipt::{Entitlement, Entitlements, Srt, SubscriptionId, SubscriptionVersion};

/// How long it may take to come up.
const START: Duration = Duration::from_secs(30);

/// A running `cloakroom-issuer`; it ends with this.
pub(crate) struct IssuerProcess {
    process: Child,
    accounts: SigningKey,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// This week's key for dedicated addresses.
    pub(crate) key: PublishedKey,
}

impl IssuerProcess {
    /// Makes keys and starts it, with its state in `room`.
    pub(crate) fn start(room: &Path) -> Result<Self> {
        let program = Binaries::beside_this()?.service("issuer", false);
        let state = room.join("state");
        let ask = |arguments: &[&str]| {
            let output = Command::new(&program)
                .arg("--state")
                .arg(&state)
                .args(arguments)
                .stderr(Stdio::inherit())
                .output()?;
            if !output.status.success() {
                bail!("cloakroom-issuer {} failed", arguments.join(" "));
            }
            Ok(output.stdout)
        };
        let keygen =
            ["keygen", "--purpose", "dedicated-ip", "--first-epoch", "now", "--count", "2"];
        ask(&keygen)?;
        let keys: Vec<PublishedKey> = serde_json::from_slice(&ask(&["keys", "export", "--json"])?)?;
        let key = keys.into_iter().next().context("the issuer has no key")?;
        let accounts = SigningKey::from_seed(&Secret::random(&mut system_rng()))?;
        let srt_keys = room.join("srt-keys.json");
        std::fs::write(&srt_keys, serde_json::to_vec(&KeySet::from(accounts.verifying_key()))?)?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let process = Command::new(&program)
            .arg("--state")
            .arg(&state)
            .args(["serve", "--issuer-name", "issuer.bench.cloakroom.example", "--srt-keys"])
            .arg(&srt_keys)
            .args(["--listen", &address.to_string(), "--log"])
            .arg(room.join("log"))
            .env("CLOAKROOM_RATE_FACTOR", "100")
            .stdin(Stdio::null())
            .spawn()
            .context("the blind token service can't be started")?;
        let mut issuer = Self { process, accounts, address, key };
        issuer.wait()?;
        Ok(issuer)
    }

    /// Its process's id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// A receipt for a subscription that nobody has seen before.
    pub(crate) fn subscribe(&self) -> Result<Compact> {
        let entitlements =
            Entitlements::new([Entitlement::DedicatedIp], SubscriptionVersion::default());
        let srt = Srt { subscription: SubscriptionId::random(&mut system_rng()), entitlements };
        Ok(srt.sign(&self.accounts, SystemClock.now())?)
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("the blind token service ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("the blind token service doesn't come up");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for IssuerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
