//! What the module keeps between two runs: its root and the secret that wraps keys.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use coarse::{Secret, UnixTime, system_rng};
use nitro::DevelopmentAuthority;
use zeroize::Zeroizing;

/// Why the state can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A file isn't one of ours.
    #[error(
        "{0} is damaged; remove the directory to start with a new root (clients must then trust it anew)"
    )]
    Damaged(String),
}

/// The module's root and wrapping secret.
pub struct State {
    authority: DevelopmentAuthority,
    wrapping_secret: Secret<32>,
}

impl State {
    /// Opens the state in `directory`, or makes it: `authority.bin` and `wrapping.bin` (0600), and `root.der`, which is
    /// public and for clients to pin.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| io(directory, source))?;
        let authority = directory.join("authority.bin");
        let bytes = kept(&authority, || {
            let since = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            let now = UnixTime::from_seconds(since.as_secs());
            DevelopmentAuthority::generate(now).and_then(|made| made.to_bytes()).ok()
        })?;
        let authority = DevelopmentAuthority::from_bytes(&bytes)
            .map_err(|_| StateError::Damaged(authority.display().to_string()))?;
        let wrapping = directory.join("wrapping.bin");
        let secret = kept(&wrapping, || {
            Some(Zeroizing::new(Secret::<32>::random(&mut system_rng()).expose().to_vec()))
        })?;
        let secret = secret
            .as_slice()
            .try_into()
            .map_err(|_| StateError::Damaged(wrapping.display().to_string()))?;
        let root = directory.join("root.der");
        std::fs::write(&root, authority.root_der()).map_err(|source| io(&root, source))?;
        Ok(Self { authority, wrapping_secret: Secret::new(secret) })
    }

    /// What issues the module's certificates.
    #[must_use]
    pub const fn authority(&self) -> &DevelopmentAuthority {
        &self.authority
    }

    /// What wrapped keys are wrapped under.
    pub(crate) const fn wrapping_secret(&self) -> &[u8; 32] {
        self.wrapping_secret.expose()
    }
}

/// The file's bytes; made, written in full under another name and then named, when there is no file yet.
fn kept(
    path: &Path,
    make: impl FnOnce() -> Option<Zeroizing<Vec<u8>>>,
) -> Result<Zeroizing<Vec<u8>>, StateError> {
    match std::fs::read(path) {
        Ok(bytes) => return Ok(Zeroizing::new(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(io(path, source)),
    }
    let bytes = make().ok_or_else(|| StateError::Damaged(path.display().to_string()))?;
    let fresh = path.with_extension("new");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|source| io(path, source))?;
    Ok(bytes)
}

fn io(path: &Path, source: std::io::Error) -> StateError {
    StateError::Io { path: path.display().to_string(), source }
}
