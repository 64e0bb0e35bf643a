//! Sessions that wait for work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio_postgres::Config;

use super::failure::Failed;
use super::session::Session;

/// Sessions of one instance, at most. Whoever comes when all are at work waits, first come first served. PostgreSQL takes 100 in all unless it is
/// told otherwise.
const SESSIONS: usize = 16;

/// The sessions of a server.
pub(super) struct Pool {
    config: Config,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
}

/// A session at work. It goes back only when it is [given back](Self::give_back): one that was dropped in the middle of something is closed, which
/// ends what it was doing, and its place is free once it has ended.
pub(super) struct Lease {
    pool: Arc<Pool>,
    pub(super) session: Session,
}

impl Pool {
    /// No sessions yet.
    pub(super) fn new(config: Config) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(SESSIONS));
        Arc::new(Self { config, places, idle: Mutex::default() })
    }

    /// A session: one that was idle, else a new one.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Failed> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Failed::lost("the pool is closed"))?;
        let idle = {
            let mut idle = self.idle();
            idle.retain(|session| !session.is_closed());
            idle.pop()
        };
        let session = match idle {
            Some(session) => session,
            None => Session::open(&self.config).await?,
        };
        session.occupy(Some(place));
        Ok(Lease { pool: Arc::clone(self), session })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Nothing is under way in the session: others may have it.
    pub(super) fn give_back(self) {
        let Self { pool, session } = self;
        session.take_fault();
        let place = session.occupy(None);
        pool.idle().push(session);
        // Only now: whoever waited for the place finds the session.
        drop(place);
    }
}
