//! What a running service signs and verifies with. The files are looked at again after a second, so that no step of a rotation
//! needs a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coarse::SystemClock;
use jws::{KeySet, SigningKey};

use crate::file::{RingError, RingFile};

/// For how long a file isn't looked at again.
const STALE: Duration = Duration::from_secs(1);

/// A value that is read from a file, and read again when that was a while ago. A file that can't be read leaves
/// the value as it was: keys aren't lost to a slip of the pen.
struct Live<T> {
    path: PathBuf,
    held: Mutex<(Instant, Arc<T>)>,
}

impl<T> Live<T> {
    fn new(path: &Path, value: T) -> Self {
        Self { path: path.to_owned(), held: Mutex::new((Instant::now(), Arc::new(value))) }
    }

    fn get<E: std::fmt::Display>(&self, read: impl FnOnce() -> Result<T, E>) -> Arc<T> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0.elapsed() >= STALE {
            held.0 = Instant::now();
            match read() {
                Ok(value) => held.1 = Arc::new(value),
                Err(error) => {
                    tracing::error!(%error, "keys can't be read again; the former ones stay");
                }
            }
        }
        Arc::clone(&held.1)
    }
}

/// The keys of a role of this service.
pub struct LiveSigner(Signer);

enum Signer {
    Fixed(Arc<SigningKey>),
    File(RingFile, Live<(Arc<SigningKey>, Arc<KeySet>)>),
}

impl LiveSigner {
    /// Signs with the current key of a ring, which is begun when there is none.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn open(file: RingFile) -> Result<Self, RingError> {
        let live = Live::new(file.path(), read_ring(&file)?);
        Ok(Self(Signer::File(file, live)))
    }

    /// Signs with one key that never changes.
    #[must_use]
    pub fn fixed(key: SigningKey) -> Self {
        Self(Signer::Fixed(Arc::new(key)))
    }

    /// The key that signs now.
    #[must_use]
    pub fn key(&self) -> Arc<SigningKey> {
        match &self.0 {
            Signer::Fixed(key) => Arc::clone(key),
            Signer::File(file, live) => Arc::clone(&live.get(|| read_ring(file)).0),
        }
    }

    /// All keys that verifiers shall accept now.
    #[must_use]
    pub fn published(&self) -> KeySet {
        match &self.0 {
            Signer::Fixed(key) => KeySet::from(key.verifying_key()),
            Signer::File(file, live) => KeySet::clone(&live.get(|| read_ring(file)).1),
        }
    }
}

fn read_ring(file: &RingFile) -> Result<(Arc<SigningKey>, Arc<KeySet>), RingError> {
    let ring = file.signing(coarse::Clock::now(&SystemClock))?;
    Ok((Arc::new(ring.signer), Arc::new(ring.keys)))
}

/// Another service's keys, as its operator gave them: a JWKS in a file.
pub struct LiveKeys(Keys);

enum Keys {
    Fixed(Arc<KeySet>),
    File(Live<KeySet>),
}

impl LiveKeys {
    /// The keys in a file.
    ///
    /// # Errors
    /// When it can't be read, or isn't a JWKS of Ed25519 keys.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Keys::File(Live::new(path, read_keys(path)?))))
    }

    /// Keys that never change.
    #[must_use]
    pub fn fixed(keys: KeySet) -> Self {
        Self(Keys::Fixed(Arc::new(keys)))
    }

    /// The keys that are accepted now.
    #[must_use]
    pub fn get(&self) -> Arc<KeySet> {
        match &self.0 {
            Keys::Fixed(keys) => Arc::clone(keys),
            Keys::File(live) => live.get(|| read_keys(&live.path)),
        }
    }
}

fn read_keys(path: &Path) -> std::io::Result<KeySet> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use coarse::UnixTime;

    use super::*;
    use crate::ring::Rules;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
    const RULES: Rules = Rules { notice: Duration::ZERO, overlap: Duration::ZERO, most: 4 };

    /// Polls: a change counts after [`STALE`].
    fn until(mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < deadline, "never");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_running_service_signs_with_the_key_that_was_activated() {
        let room = tempfile::tempdir().unwrap();
        let file = RingFile::of(room.path(), "role");
        let live = LiveSigner::open(file.clone()).unwrap();
        let first = live.key().verifying_key().clone();
        let fresh = crate::file::fresh_signing_key;
        let step = |file: &RingFile| {
            file.change(NOW, fresh, |ring| {
                ring.prepare(fresh()?, NOW, &RULES)?;
                Ok::<_, RingError>(ring.activate(NOW, &RULES, false, "")?)
            })
        };
        assert!(step(&file).unwrap());
        until(|| *live.key().verifying_key() != first);
        assert_eq!(live.published().iter().count(), 2);
        // A file that can't be read leaves the keys as they were.
        let now = live.key().verifying_key().clone();
        std::fs::write(file.path(), "{").unwrap();
        let spoilt = Instant::now();
        until(|| {
            assert_eq!(*live.key().verifying_key(), now);
            spoilt.elapsed() > 2 * STALE
        });
    }

    #[test]
    fn a_running_service_accepts_the_keys_that_it_was_given_last() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("keys.json");
        assert!(LiveKeys::open(&path).is_err());
        let keys = |number| {
            let key = SigningKey::from_seed(&coarse::Secret::new([number; 32])).unwrap();
            KeySet::from(key.verifying_key())
        };
        std::fs::write(&path, serde_json::to_vec(&keys(1)).unwrap()).unwrap();
        let live = LiveKeys::open(&path).unwrap();
        assert_eq!(*live.get(), keys(1));
        std::fs::write(&path, serde_json::to_vec(&keys(2)).unwrap()).unwrap();
        until(|| *live.get() == keys(2));
    }
}
