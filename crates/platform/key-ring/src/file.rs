//! The ring's file.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use coarse::{Secret, UnixTime};
use jws::{KeySet, SigningKey, VerifyingKey};
use rustix::fs::{FlockOperation, flock};
use store::SecretFileError;
use zeroize::Zeroizing;

use crate::ring::{Fresh, Refused, Ring};

/// A ring in a file of its own (0600). It is replaced whole; whoever changes it holds a lock.
#[derive(Clone, Debug)]
pub struct RingFile {
    path: PathBuf,
}

/// Why a ring can't be used, or a step isn't taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The file isn't a ring.
    #[error("{0} is damaged: it is not a ring of keys")]
    Damaged(PathBuf),
    /// The library made no key.
    #[error("no key could be made")]
    Library(#[source] jws::KeyError),
    /// A step against the rules.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl RingFile {
    /// The ring `NAME.ring` under `keys` in a state directory.
    #[must_use]
    pub fn of(state: &Path, name: &str) -> Self {
        Self { path: state.join("keys").join(format!("{name}.ring")) }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ring; nothing when there is none yet.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn read(&self) -> Result<Option<Ring>, RingError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SecretFileError::Io(self.path.clone(), error).into()),
        };
        let ring: Ring =
            serde_json::from_slice(&bytes).map_err(|_| RingError::Damaged(self.path.clone()))?;
        if ring.is_sound() { Ok(Some(ring)) } else { Err(RingError::Damaged(self.path.clone())) }
    }

    /// Changes the ring, which is begun with `first` when there is none: the file holds either all of the change or nothing of it.
    ///
    /// # Errors
    /// [`RingError`]; nothing is changed then.
    pub fn change<T, E: From<RingError>>(
        &self,
        now: UnixTime,
        first: impl FnOnce() -> Result<Fresh, E>,
        change: impl FnOnce(&mut Ring) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(directory) = self.path.parent() {
            store::private_directory(directory).map_err(RingError::File)?;
        }
        let failed = |error| RingError::File(SecretFileError::Io(self.path.clone(), error));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.with_extension("lock"))
            .map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let former = self.read()?;
        let began = former.is_none();
        let mut ring = match former {
            Some(ring) => ring,
            None => Ring::begin(first()?, now),
        };
        let text = |ring: &Ring| {
            serde_json::to_vec_pretty(ring)
                .map(Zeroizing::new)
                .map_err(|_| RingError::Damaged(self.path.clone()))
        };
        let before = text(&ring)?;
        let done = change(&mut ring)?;
        let after = text(&ring)?;
        if began || *before != *after {
            store::write_secret_file(&self.path, &after).map_err(RingError::File)?;
        }
        Ok(done)
    }

    /// The ring of a role that signs with Ed25519; begun when there is none.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn signing(&self, now: UnixTime) -> Result<SigningRing, RingError> {
        if self.read()?.is_none() {
            self.change(now, fresh_signing_key, |_| Ok::<_, RingError>(()))?;
        }
        let damaged = || RingError::Damaged(self.path.clone());
        let ring = self.read()?.ok_or_else(damaged)?;
        let current = ring.current().ok_or_else(damaged)?;
        let seed = current.secret().and_then(|seed| seed.try_into().ok()).ok_or_else(damaged)?;
        let signer = SigningKey::from_seed(&Secret::new(seed)).map_err(|_| damaged())?;
        if *signer.verifying_key().bytes() != current.public() {
            return Err(damaged());
        }
        let keys = ring.keys().map(|key| VerifyingKey::from_bytes(key.public()));
        Ok(SigningRing { signer, keys: KeySet::new(keys) })
    }
}

/// A ring of Ed25519 keys as it is used.
pub struct SigningRing {
    /// Signs.
    pub signer: SigningKey,
    /// Everything that verifiers shall accept: current, next and former keys.
    pub keys: KeySet,
}

/// A fresh Ed25519 key.
pub(crate) fn fresh_signing_key() -> Result<Fresh, RingError> {
    let seed = Secret::<32>::random(&mut coarse::system_rng());
    let key = SigningKey::from_seed(&seed).map_err(RingError::Library)?;
    let public = key.verifying_key();
    Ok(Fresh {
        kid: public.id().to_string(),
        public: *public.bytes(),
        secret: Zeroizing::new(seed.expose().to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::Rules;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
    const RULES: Rules =
        Rules { notice: Duration::ZERO, overlap: Duration::from_secs(3600), most: 4 };

    fn prepare(file: &RingFile) -> Result<bool, RingError> {
        file.change(NOW, fresh_signing_key, |ring| {
            Ok(ring.prepare(fresh_signing_key()?, NOW, &RULES)?)
        })
    }

    #[test]
    fn a_ring_begins_by_itself_and_comes_back() {
        let room = tempfile::tempdir().unwrap();
        let file = RingFile::of(room.path(), "role");
        let first = file.signing(NOW).unwrap();
        let again = file.signing(NOW).unwrap();
        assert_eq!(first.signer.verifying_key(), again.signer.verifying_key());
        let mode = std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert!(prepare(&file).unwrap());
        assert!(!prepare(&file).unwrap());
        let both = file.signing(NOW).unwrap();
        assert_eq!(both.signer.verifying_key(), first.signer.verifying_key());
        assert_eq!(both.keys.iter().count(), 2);
    }

    #[test]
    fn a_step_that_is_refused_or_broken_off_leaves_the_file_as_it_was() {
        let room = tempfile::tempdir().unwrap();
        let file = RingFile::of(room.path(), "role");
        file.signing(NOW).unwrap();
        let before = std::fs::read(file.path()).unwrap();
        let refused = file.change(NOW, fresh_signing_key, |ring| {
            ring.prepare(fresh_signing_key()?, NOW, &RULES)?;
            Err::<(), _>(RingError::Refused(Refused::NoNext))
        });
        assert!(refused.is_err());
        // What a writer that was killed left beside it isn't the ring.
        std::fs::write(file.path().with_extension("ring.new"), b"{\"keys\":[").unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
        assert!(prepare(&file).unwrap());
        assert_eq!(file.signing(NOW).unwrap().keys.iter().count(), 2);
    }

    #[test]
    fn what_is_no_ring_is_left_alone() {
        let room = tempfile::tempdir().unwrap();
        let file = RingFile::of(room.path(), "role");
        file.signing(NOW).unwrap();
        for text in ["", "{\"keys\":[]}", "{}"] {
            std::fs::write(file.path(), text).unwrap();
            assert!(matches!(file.signing(NOW), Err(RingError::Damaged(_))));
            assert!(matches!(prepare(&file), Err(RingError::Damaged(_))));
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
        }
    }

    #[test]
    fn many_who_prepare_make_one_next_key() {
        let room = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let file = RingFile::of(room.path(), "role");
                scope.spawn(move || prepare(&file).unwrap());
            }
        });
        let keys = RingFile::of(room.path(), "role").signing(NOW).unwrap().keys;
        assert_eq!(keys.iter().count(), 2);
    }
}
