//! Small files that only this user may read: role keys and their like.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use coarse::Secret;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Why a secret file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The file system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// The file isn't of the length that it is written with.
    #[error("{0} is damaged: it should hold {1} bytes")]
    Damaged(PathBuf, usize),
}

/// Makes a directory (and those above it) that only this user may enter; one that is there is left as it is.
///
/// # Errors
/// [`SecretFileError::Io`].
pub fn private_directory(path: &Path) -> Result<(), SecretFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| SecretFileError::Io(path.to_owned(), error))
}

/// Writes a file whole or not at all (0600): under another name, synced, then renamed.
///
/// # Errors
/// [`SecretFileError::Io`].
pub fn write_secret_file(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    let write = || {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    write().map_err(|error| SecretFileError::Io(path.to_owned(), error))
}

/// Writes what `make` makes into a file (0600), unless there is one. Of several processes that find none at once, all get what one of them
/// wrote.
///
/// # Errors
/// [`SecretFileError::Io`].
pub fn create_secret_file<R: CryptoRng>(
    path: &Path,
    rng: &mut R,
    make: impl FnOnce(&mut R) -> Zeroizing<Vec<u8>>,
) -> Result<(), SecretFileError> {
    let failed = |error| SecretFileError::Io(path.to_owned(), error);
    if path.try_exists().map_err(failed)? {
        return Ok(());
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{:08x}", rng.next_u32()));
    let fresh = PathBuf::from(fresh);
    write_secret_file(&fresh, &make(rng))?;
    // Unlike a rename, a link doesn't replace what another process wrote meanwhile.
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh).map_err(failed)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

/// The `N` secret bytes that a file holds; fresh ones are written when there is no file yet, as [`create_secret_file`] does.
///
/// # Errors
/// [`SecretFileError`].
pub fn load_or_create<const N: usize>(
    path: &Path,
    rng: &mut impl CryptoRng,
) -> Result<Secret<N>, SecretFileError> {
    create_secret_file(path, rng, |rng| {
        Zeroizing::new(Secret::<N>::random(rng).expose().to_vec())
    })?;
    let bytes = std::fs::read(path).map_err(|error| SecretFileError::Io(path.to_owned(), error))?;
    let secret = Zeroizing::new(bytes).as_slice().try_into().map(Secret::new);
    secret.map_err(|_| SecretFileError::Damaged(path.to_owned(), N))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_kept_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("keys");
        private_directory(&inner).unwrap();
        let path = inner.join("role.key");
        let made: Secret<32> = load_or_create(&path, &mut coarse::system_rng()).unwrap();
        let read: Secret<32> = load_or_create(&path, &mut coarse::system_rng()).unwrap();
        assert!(made.same_as(&read));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&path)), (0o700, 0o600));
        let short = load_or_create::<16>(&path, &mut coarse::system_rng());
        assert!(matches!(short, Err(SecretFileError::Damaged(_, 16))));
    }

    #[test]
    fn all_who_come_at_once_get_the_same_secret() {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = directory.path().join(format!("{round}.key"));
            let barrier = Barrier::new(4);
            let load = || {
                barrier.wait();
                load_or_create::<32>(&path, &mut coarse::system_rng()).unwrap()
            };
            let secrets = std::thread::scope(|scope| {
                [(); 4].map(|()| scope.spawn(load)).map(|loading| loading.join().unwrap())
            });
            assert!(secrets.iter().all(|secret| secret.same_as(&secrets[0])));
        }
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            20,
            "nothing else is left"
        );
    }
}
