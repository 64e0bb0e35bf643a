//! A provider that is up: every service a process, on free ports, in a directory of its own.

use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use lab::{Binaries, Ports, Town, Zone};
use tempfile::TempDir;

/// The programs of the build that this test belongs to.
///
/// # Errors
/// When they aren't built.
pub fn binaries() -> Result<Binaries> {
    // target/PROFILE/deps/TEST
    let test = std::env::current_exe()?;
    let directory = test.parent().and_then(|deps| deps.parent());
    Binaries::in_directory(directory.context("the test has no directory")?).context(
        "run `cargo xtask test`, which builds the programs first, or \
         `cargo build --release --workspace --bins` and then `cargo test --release -p endtoend`",
    )
}

/// A provider of a test's own: its processes and its directory go with it.
pub struct Scene {
    // Dropped in this order.
    town: Town,
    room: TempDir,
}

impl Scene {
    /// Founds and opens a provider with the released programs, which may be killed and started again.
    ///
    /// # Errors
    /// When a service doesn't come up.
    pub fn open() -> Result<Self> {
        Self::with(&binaries()?, false)
    }

    /// The same with these programs; tapped ones record what they receive.
    ///
    /// # Errors
    /// When a service doesn't come up.
    pub fn with(binaries: &Binaries, tapped: bool) -> Result<Self> {
        Self::at(binaries, tapped, Ports::Free)
    }

    /// A provider that takes a hundred times the usual rates of requests: for tests that ask more often than people do.
    ///
    /// # Errors
    /// When a service doesn't come up.
    pub fn for_a_crowd() -> Result<Self> {
        Self::found(&binaries()?, false, Ports::Free, 100)
    }

    /// A provider whose tunnels end at an address of this host that isn't loopback's.
    ///
    /// # Errors
    /// When a service doesn't come up.
    pub fn with_tunnels_at(host: Ipv4Addr) -> Result<Self> {
        Self::at(&binaries()?, false, Ports::FreeTunnelsAt(host))
    }

    /// A provider whose services keep their rows in these databases, each by its URL.
    ///
    /// # Errors
    /// When a service doesn't come up.
    pub fn with_databases(
        databases: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self> {
        let room = room()?;
        let zone = Zone { root: room.path().to_owned(), ports: Ports::Free, tapped: false };
        let town = Town::found(&binaries()?, zone)?.with_databases(databases);
        Ok(Self { town: town.open()?, room })
    }

    fn at(binaries: &Binaries, tapped: bool, ports: Ports) -> Result<Self> {
        Self::found(binaries, tapped, ports, 1)
    }

    fn found(binaries: &Binaries, tapped: bool, ports: Ports, rate_factor: u16) -> Result<Self> {
        let room = room()?;
        let zone = Zone { root: room.path().to_owned(), ports, tapped };
        let town = Town::found(binaries, zone)?.with_rate_factor(rate_factor);
        Ok(Self { town: town.open()?, room })
    }
}

fn room() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("cloakroom-endtoend-").tempdir()?)
}

impl Deref for Scene {
    type Target = Town;

    fn deref(&self) -> &Town {
        &self.town
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Town {
        &mut self.town
    }
}

/// The one provider that all tests of a test program share; its services record what they receive. Nobody may
/// kill anything of it.
///
/// # Errors
/// When it doesn't come up.
pub fn shared() -> Result<&'static Town> {
    static SHARED: OnceLock<Result<(Scene, Child), String>> = OnceLock::new();
    let opened = SHARED.get_or_init(|| {
        let open = || {
            let scene = Scene::with(&binaries()?, true)?;
            let sweeper = sweep_up_after(&scene)?;
            Ok((scene, sweeper))
        };
        open().map_err(|error: anyhow::Error| format!("{error:#}"))
    });
    opened.as_ref().map(|(scene, _)| &scene.town).map_err(|error| anyhow!("{error}"))
}

/// A provider that the tests of one group share, one at a time, so that each sees what its own attack changed. Nobody
/// may kill anything of it.
pub struct Group(OnceLock<Result<Mutex<(Scene, Child)>, String>>);

/// The whole of a group's provider, for one test.
pub struct Quiet(MutexGuard<'static, (Scene, Child)>);

impl Group {
    /// A group whose provider isn't founded yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The provider, founded by the first who asks. Others wait until it is given back.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn lock(&'static self) -> Result<Quiet> {
        let opened = self.0.get_or_init(|| {
            let open = || {
                let scene = Scene::for_a_crowd()?;
                let sweeper = sweep_up_after(&scene)?;
                Ok(Mutex::new((scene, sweeper)))
            };
            open().map_err(|error: anyhow::Error| format!("{error:#}"))
        });
        let scene = opened.as_ref().map_err(|error| anyhow!("{error}"))?;
        // A test that failed leaves a provider that is as good as before for the others.
        Ok(Quiet(scene.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Quiet {
    type Target = Town;

    fn deref(&self) -> &Town {
        &self.0.0
    }
}

/// What is shared is never dropped. So a shell waits for the end of this process, however that comes, ends the
/// services and removes their directory: its standard input is a pipe from here.
fn sweep_up_after(scene: &Scene) -> Result<Child> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat >/dev/null; kill -9 \"$@\"; rm -rf \"$0\""]);
    shell.arg(scene.room.path()).args(scene.town.processes().map(|(_, id)| id.to_string()));
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().context("no shell to sweep up")
}
