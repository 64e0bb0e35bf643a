//! The database: one file, one thread, one queue.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::iter;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::layout::MOST_PAGES;
use super::migrate::migrate;
use super::pages::Pages;
use crate::measure::{COMMITS, FAILURES};
use crate::{Error, Migration, Reader, Writer};

/// Jobs that may wait. Whoever comes later waits for a place in the queue.
const QUEUE: usize = 1024;

/// Jobs that share one commit at most.
const GROUP: usize = 256;

/// How long a group is gathered while several write at a time: a commit costs the same for one job as for many. Whoever writes alone
/// doesn't wait.
const GATHER: Duration = Duration::from_millis(2);

/// `FULL`: an answered write survives a power cut. `EXCLUSIVE`: the file is ours until we close it.
/// `TRUNCATE`, and never `WAL`: see the crate's documentation. No `cache_spill`: nothing is written to the file
/// before the commit. 64 MiB of pages are kept in memory.
const SETTINGS: &str = "
    PRAGMA busy_timeout = 2000;
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA auto_vacuum = NONE;
    PRAGMA journal_mode = TRUNCATE;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA cache_spill = OFF;
    PRAGMA cache_size = -65536;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;
";

/// A handle to an open database; clones share it. When the last one is dropped, queued jobs are still
/// finished and the file is closed.
#[derive(Clone)]
pub struct Database(Arc<Handle>);

struct Handle {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A queued job: runs (or learns why it can't) and says whether to keep what it did.
struct Job {
    writes: bool,
    run: Run,
}

/// Its answer is sent once what it saw or did is committed, or couldn't be.
type Run = Box<dyn FnOnce(Result<&Connection, Error>) -> (Keep, Answer) + Send>;
type Answer = Box<dyn FnOnce(Result<(), Error>)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Changes,
    Nothing,
}

impl Database {
    /// Opens the database at `path` and applies the `migrations` that it lacks. A new file is readable by
    /// its owner only; its directory must exist. Blocks while it works.
    pub fn open(path: &Path, migrations: &[Migration]) -> Result<Self, Error> {
        create_private(path).map_err(Error::Open)?;
        let mut connection = Connection::open(path)?;
        connection.execute_batch(SETTINGS)?;
        connection.pragma_update(None, "max_page_count", MOST_PAGES)?;
        connection.set_prepared_statement_cache_capacity(128);
        let pages_at_hand = "SELECT 1 FROM pragma_module_list WHERE name = 'sqlite_dbpage'";
        connection.query_row(pages_at_hand, [], |_| Ok(())).map_err(|_| Error::NoPages)?;
        migrate(&mut connection, migrations)?;
        let pages = Pages::new(&connection, journal_of(path))?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || work(&connection, pages, jobs))
            .map_err(Error::Open)?;
        Ok(Self(Arc::new(Handle { queue: Some(queue), thread: Some(thread) })))
    }

    /// Runs `job` in a transaction and waits until it is durable. An error of the job undoes what the job did.
    /// `name` says what the job is, for logs and errors. Once queued, the job runs even if the
    /// caller stops waiting.
    pub async fn write<T, E, F>(&self, name: &'static str, job: F) -> Result<T, E>
    where
        F: FnOnce(&Writer<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.submit(name, true, move |connection| job(&Writer::new(connection))).await
    }

    /// Runs `job` on a consistent state that is durable; keep it short. It sees every write that was answered before, and
    /// doesn't wait for those that stand in the queue.
    pub async fn read<T, E, F>(&self, name: &'static str, job: F) -> Result<T, E>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.submit(name, false, move |connection| job(&Reader::new(connection))).await
    }

    /// [`write`](Self::write) for threads without an async runtime.
    pub fn write_blocking<T, E, F>(&self, name: &'static str, job: F) -> Result<T, E>
    where
        F: FnOnce(&Writer<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        block_on(self.write(name, job))
    }

    /// [`read`](Self::read) for threads without an async runtime.
    pub fn read_blocking<T, E, F>(&self, name: &'static str, job: F) -> Result<T, E>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        block_on(self.read(name, job))
    }

    async fn submit<T, E, F>(&self, name: &'static str, writes: bool, job: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let run: Run = Box::new(move |connection| {
            let run = || connection.map_err(E::from).and_then(job);
            let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                tracing::error!(job = name, "a job panicked");
                Err(Error::Panicked { job: name }.into())
            });
            let keep = if result.is_ok() { Keep::Changes } else { Keep::Nothing };
            let reply: Answer = Box::new(move |committed| {
                let result = result.and_then(|value| committed.map(|()| value).map_err(E::from));
                // Nobody may be waiting any more; what is done is done.
                let _ = answer.send(result);
            });
            (keep, reply)
        });
        let queue = self.0.queue.as_ref().ok_or(Error::Closed)?;
        queue.send(Job { writes, run }).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// The writer's thread: what only reads is answered at once, then one transaction for all that write.
fn work(connection: &Connection, mut pages: Pages, mut jobs: mpsc::Receiver<Job>) {
    let mut waiting = Vec::with_capacity(GROUP);
    let mut several = false;
    while jobs.blocking_recv_many(&mut waiting, GROUP) > 0 {
        let answer_readers = |waiting: &mut Vec<Job>| {
            waiting.extract_if(.., |job| !job.writes).for_each(|job| read(connection, job));
        };
        answer_readers(&mut waiting);
        if several && !waiting.is_empty() {
            thread::sleep(GATHER);
            waiting.extend(iter::from_fn(|| jobs.try_recv().ok()).take(GROUP - waiting.len()));
            answer_readers(&mut waiting);
        }
        several = waiting.len() > 1;
        let mut queue = waiting.drain(..);
        while queue.len() > 0 {
            commit_group(connection, &mut pages, &mut queue);
        }
    }
}

/// Runs a job that reads, in a transaction of its own: what it sees was committed before.
fn read(connection: &Connection, job: Job) {
    let begun = execute(connection, "BEGIN");
    let (_, answer) = (job.run)(begun.map(|()| connection).map_err(Error::from));
    // There is nothing to keep, and nothing that could fail to be kept.
    let _ = execute(connection, "ROLLBACK");
    answer(Ok(()));
}

/// Runs jobs from `queue` in one transaction until the queue ends or SQLite gives the transaction up
/// (a full disk, say), and answers those that ran.
fn commit_group(connection: &Connection, pages: &mut Pages, queue: &mut impl Iterator<Item = Job>) {
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
        FAILURES.fetch_add(1, Ordering::Relaxed);
        let cause = Arc::new(Error::from(error));
        for job in queue {
            let (_, answer) = (job.run)(Err(Error::NotCommitted(Arc::clone(&cause))));
            answer(Ok(()));
        }
        return;
    }
    let mut answers = Vec::new();
    let ran = run_group(connection, queue, &mut answers);
    let committed = ran.map_err(Error::from).and_then(|()| {
        let committing = pages.rewrite_changed(connection)?;
        execute(connection, "COMMIT")?;
        pages.committed(committing);
        Ok(())
    });
    match committed {
        Ok(()) => {
            COMMITS.fetch_add(1, Ordering::Relaxed);
            answers.into_iter().for_each(|answer| answer(Ok(())));
        }
        Err(error) => {
            FAILURES.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a group of transactions was not committed");
            // SQLite has rolled back already after some errors; then this one fails, and rightly.
            let _ = connection.execute_batch("ROLLBACK");
            let cause = Arc::new(error);
            for answer in answers {
                answer(Err(Error::NotCommitted(Arc::clone(&cause))));
            }
        }
    }
}

/// Each job in a savepoint of its own, so that its error undoes its own work only.
fn run_group(
    connection: &Connection,
    queue: &mut impl Iterator<Item = Job>,
    answers: &mut Vec<Answer>,
) -> rusqlite::Result<()> {
    for job in queue {
        let opened = execute(connection, "SAVEPOINT job");
        let (keep, answer) = (job.run)(match &opened {
            Ok(()) => Ok(connection),
            Err(_) => Err(Error::Closed),
        });
        answers.push(answer);
        opened?;
        if keep == Keep::Nothing {
            execute(connection, "ROLLBACK TO job")?;
        }
        execute(connection, "RELEASE job")?;
    }
    Ok(())
}

/// Runs a statement that is compiled once.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Where SQLite keeps the rollback journal of the file at `path`.
fn journal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-journal");
    name.into()
}

/// Creates the file if it isn't there, and makes it private in any case. Its journal gets its permissions.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, Permissions::from_mode(0o600))
        }
        Err(error) => Err(error),
    }
}

/// Drives a future on this thread, which sleeps in between.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
