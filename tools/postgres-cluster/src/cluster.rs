//! A server.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use crate::family;
use crate::programs::{Programs, User, run};

/// How long a server may take to start or to stop. It replays its log first when it was killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The superuser of every cluster.
const SUPERUSER: &str = "postgres";

/// What a service demands, and what keeps little of the past in the log; see docs/operations/postgresql.md.
const SETTINGS: &str = "
listen_addresses = ''
log_error_verbosity = terse
wal_level = minimal
max_wal_senders = 0
wal_recycle = off
max_connections = 200
";

/// Only who may enter the directory reaches the socket, so that no password is asked for; of members of `with_password` one is,
/// so that this can be tried.
const WHO_MAY: &str = "
local all +with_password scram-sha-256
local all all trust
";

/// What removes a server once its process has ended: it reads its standard input, a pipe from that process, to the end. A process of
/// another directory that got the server's number meanwhile is left alone.
const SWEEPER: &str = r#"
cat >/dev/null
read -r pid <"$0/data/postmaster.pid" 2>/dev/null
if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$0/data" ]; then
    kill -QUIT "$pid"
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    kill -9 "$pid" 2>/dev/null
fi
rm -rf "$0"
"#;

/// How a server is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keeps everything in memory where there is such a file system: for tests whose subject isn't durability. The server syncs all the same,
    /// since services demand that of it.
    pub in_memory: bool,
    /// Settings beside the usual ones, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

/// A cluster of databases, and the server that serves it.
pub struct Cluster {
    programs: Programs,
    user: Option<User>,
    room: PathBuf,
    server: Option<Child>,
    /// Removes everything when this process ends before us; `None` for a cluster that stays.
    sweeper: Option<Child>,
    databases: AtomicU32,
}

/// A database of a cluster, with a role of its own that owns it, and that reaches no other.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name, which is the role's, too.
    pub name: String,
    /// Where it is, for a service's `--database`.
    pub url: String,
}

impl Cluster {
    /// Makes a cluster in a temporary directory and starts its server. Both are gone when this is dropped, or when the process ends.
    ///
    /// # Errors
    /// When PostgreSQL isn't installed, or doesn't start.
    pub fn start(options: Options) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let mut place = tempfile::Builder::new();
        let place = place.prefix("cloakroom-postgres-");
        let room = if options.in_memory && memory.is_dir() {
            place.tempdir_in(memory)
        } else {
            place.tempdir()
        };
        let room = room.context("there is no place for a server")?.keep();
        let mut cluster = Self::new(room)?;
        cluster.sweeper = Some(sweep_up_after(&cluster.room)?);
        cluster.make(&options)?;
        cluster.serve()?;
        Ok(cluster)
    }

    /// The cluster in this directory, which is made when there is none; its server is started. It stays when this is dropped, and
    /// the server is stopped, unless it was left to others ([`leave`](Self::leave)).
    ///
    /// # Errors
    /// When PostgreSQL isn't installed, or doesn't start.
    pub fn at(directory: &Path, options: &Options) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let mut cluster = Self::new(directory.canonicalize()?)?;
        if !cluster.data().exists() {
            cluster.make(options)?;
        }
        cluster.serve()?;
        Ok(cluster)
    }

    fn new(room: PathBuf) -> Result<Self> {
        let (programs, user) = (Programs::find()?, Programs::user()?);
        let databases = AtomicU32::new(0);
        Ok(Self { programs, user, room, server: None, sweeper: None, databases })
    }

    /// Makes a database, and a role that owns it, with names that begin with `name`.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn database(&self, name: &str) -> Result<Database> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        self.database_named(&format!("{name}_{number}"))
    }

    /// The same with exactly this name.
    ///
    /// # Errors
    /// When the server refuses; when there is one of this name.
    pub fn database_named(&self, name: &str) -> Result<Database> {
        let usual =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        ensure!(name.chars().all(usual), "{name}: lower-case letters, digits and _ only");
        self.sql(SUPERUSER, &format!("CREATE ROLE {name} LOGIN"))?;
        self.sql(SUPERUSER, &format!("CREATE DATABASE {name} OWNER {name}"))?;
        self.sql(SUPERUSER, &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"))?;
        Ok(Database { name: name.to_owned(), url: self.url(name, name)? })
    }

    /// Where a role finds a database.
    ///
    /// # Errors
    /// When the server's directory has no name that is text.
    pub fn url(&self, role: &str, database: &str) -> Result<String> {
        let room = self.room.to_str().context("the server's directory has no plain name")?;
        let room = room.replace('%', "%25").replace('/', "%2F");
        Ok(format!("postgres://{role}@{room}/{database}"))
    }

    /// Runs SQL as the superuser in a database, each statement by itself, and gives what comes of it: a line a row, `|` between columns.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.programs.command("psql", None);
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql.args(["--variable=ON_ERROR_STOP=1", "--username", SUPERUSER, "--dbname", database]);
        psql.arg("--host").arg(&self.room).args(["--command", sql]);
        run(&mut psql)
    }

    /// Changes a setting of the running server, as `ALTER SYSTEM` does. It counts for sessions that begin later.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.sql(SUPERUSER, &format!("ALTER SYSTEM SET {name} = '{value}'"))?;
        self.sql(SUPERUSER, "SELECT pg_reload_conf()")?;
        let deadline = Instant::now() + PATIENCE;
        while self
            .sql(
                SUPERUSER,
                &format!("SELECT reset_val = '{value}' FROM pg_settings WHERE name = '{name}'"),
            )?
            .trim()
            != "t"
        {
            ensure!(Instant::now() < deadline, "{name} isn't {value} yet");
        }
        Ok(())
    }

    /// Tells the server to stop, which ends all sessions but loses nothing, and waits for that.
    ///
    /// # Errors
    /// When it doesn't stop.
    pub fn stop(&mut self) -> Result<()> {
        // The signal of a fast shutdown.
        self.end(Signal::INT)
    }

    /// Kills all of the server's processes at once, as a crash of the machine would.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn kill(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server doesn't run")?;
        family::kill(server.id())?;
        server.wait()?;
        Ok(())
    }

    /// Starts the server again, with all that it left.
    ///
    /// # Errors
    /// When it runs, or doesn't start.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the server runs");
        self.serve()
    }

    /// Lets the server go on without this program; gives its process.
    ///
    /// # Errors
    /// When it is to go with this program: only one that was made [`at`](Self::at) a place may stay.
    pub fn leave(mut self) -> Result<u32> {
        ensure!(self.sweeper.is_none(), "a server in a temporary directory can't stay");
        let server = self.server.take().context("the server doesn't run")?;
        Ok(server.id())
    }

    /// The directory with the cluster's files: what a thief of the disk takes.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.room.join("data")
    }

    /// What the server logged.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.room.join("log"))?).into_owned())
    }

    fn make(&self, options: &Options) -> Result<()> {
        fs::set_permissions(&self.room, Permissions::from_mode(0o700))?;
        if let Some(User { uid, gid }) = self.user {
            chown(&self.room, Some(uid), Some(gid))?;
        }
        let mut initdb = self.programs.command("initdb", self.user);
        initdb.args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync"]);
        // The present segment of the log is what no checkpoint removes: a small one holds less of the past.
        initdb.args(["--wal-segsize=1", "--no-instructions", "--username", SUPERUSER]);
        run(initdb.arg("--pgdata").arg(self.data()))?;
        let more = options.settings.iter().map(|(name, value)| format!("{name} = '{value}'\n"));
        let settings: String = std::iter::once(SETTINGS.to_owned()).chain(more).collect();
        let file = self.data().join("postgresql.conf");
        fs::write(&file, fs::read_to_string(&file)? + &settings)?;
        fs::write(self.data().join("pg_hba.conf"), WHO_MAY)?;
        self.serve_once("CREATE ROLE with_password")
    }

    /// Runs a statement without a server.
    fn serve_once(&self, sql: &str) -> Result<()> {
        let mut postgres = self.programs.command("postgres", self.user);
        postgres.arg("--single").arg("-D").arg(self.data()).arg(SUPERUSER);
        postgres.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = postgres.spawn().context("postgres can't be started")?;
        let mut input = child.stdin.take().context("no standard input")?;
        std::io::Write::write_all(&mut input, sql.as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// Starts the server and waits until it answers.
    fn serve(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.room.join("log"))?;
        let mut postgres = self.programs.command("postgres", self.user);
        postgres.arg("-D").arg(self.data()).arg("-k").arg(&self.room);
        // A terminal's Ctrl-C is for this program, which ends the server in its own time.
        postgres.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut server = postgres.spawn().context("postgres can't be started")?;
        let deadline = Instant::now() + PATIENCE;
        while self.sql(SUPERUSER, "SELECT 1").is_err() {
            let ended = server.try_wait()?.map(|status| format!("it ended with {status}"));
            let late = (Instant::now() > deadline).then(|| "it takes too long".to_owned());
            if let Some(why) = ended.or(late) {
                family::kill(server.id())?;
                server.wait()?;
                bail!("the server doesn't start: {why}\n{}", self.log()?);
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.server = Some(server);
        Ok(())
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let mut server = self.server.take().context("the server doesn't run")?;
        family::send(server.id(), signal);
        let deadline = Instant::now() + PATIENCE;
        while server.try_wait()?.is_none() {
            if Instant::now() > deadline {
                family::kill(server.id())?;
                server.wait()?;
                bail!("the server doesn't stop");
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // An immediate shutdown for what is thrown away, a fast one for what stays.
        let signal = if self.sweeper.is_some() { Signal::QUIT } else { Signal::INT };
        let _ = self.end(signal);
        if let Some(mut sweeper) = self.sweeper.take() {
            drop(sweeper.stdin.take());
            let _ = sweeper.wait();
        }
    }
}

fn sweep_up_after(room: &Path) -> Result<Child> {
    let mut shell = Command::new("sh");
    shell.args(["-c", SWEEPER]).arg(room).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().context("no shell to sweep up")
}
